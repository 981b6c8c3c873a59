"""AdaMatch (arXiv 2106.04732), section 3: alignment, and a threshold relative to the confidence on labeled images.

p_i are the predicted probabilities of unlabeled image i of U, K is the number of classes, m is the setting `momentum`,
and norm(x) = x / sum x:

    p_bar    = m * p_bar + (1 - m) * mean_i p_i; the first value is mean_i p_i                             (K,)
    p~_i     = norm(p_i * (p_target + 1e-6) / (p_bar + 1e-6))                                              (U, K)
    weight_i = 1 if max p~_i >= tau * (mean of the largest probabilities of the labeled images) else 0

p_target, (K,), is the class distribution to which predictions are aligned. It depends on the setting `prior`:

    predictions    running mean of the predictions for labeled images, with momentum m; starts at 1 / K
    labels         class frequencies of the labels
    uniform        1 / K

The running means are updated before they are used. The pseudo-label is argmax p~_i, which can differ from argmax p_i.
`PolicyOutput.threshold` is the threshold on max p~_i, the same for every class. With tau = 1, images that are more
confident than the average labeled image are selected.

Assumption: the unlabeled set has the class frequencies of the labeled images (with prior=uniform: all classes are
equally frequent). If the frequencies differ, alignment removes correct labels of classes that are frequent in the
unlabeled set; use a policy without alignment.

    online     the labeled images are the labeled batch, as in the paper. m = 0.999 has a time constant of 1,000 steps;
               use 0.99 for short runs
    offline    the labeled images are the whole labeled set, and m = 0. A model that was trained on the labeled images
               is nearly certain of them, so the threshold is close to tau
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.added_setting import added
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_choice, check_range
from semisup.threshold._running import pool_size_memory, update_rate
from semisup.threshold.softmatch import PRIORS, align_distribution, prior_of, running_mean


@dataclass(frozen=True)
class AdaMatch:
    """Settings of AdaMatch, explained in `conf/threshold/adamatch.yaml`."""

    tau: float
    momentum: float
    prior: str = field(metadata=added("predictions"))

    uses_labeled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("tau", self.tau, 0, 1)
        check_range("momentum", self.momentum, 0, 1, below=True)
        check_choice("prior", self.prior, ("predictions", *PRIORS))

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory of the AdaMatch policy, which `select` updates.

        Returns:
            p_target: (K,) float32, the class distribution to which predictions are aligned.
            p_bar: (K,) float32, running mean of the probabilities of unlabeled images; all 0 before the first update.
        """
        start = {"p_target": torch.full((num_classes,), 1 / num_classes), "p_bar": torch.zeros(num_classes)}
        return start | pool_size_memory(num_unlabeled)

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        assert context.labeled is not None, "adamatch needs predictions of labeled images"
        labeled = context.labeled.probabilities.float()
        if len(labels.confidence) > 0:
            rate = update_rate(self.momentum, len(labels.confidence), memory)
            p_target = memory["p_target"].lerp(labeled.mean(dim=0), rate)
            memory = memory | {
                "p_target": p_target if self.prior == "predictions" else prior_of(self.prior, context, p_target),
                "p_bar": running_mean(memory["p_bar"], labels.probabilities, rate),
            }
        confidence, targets = self.align(labels.probabilities, memory).max(dim=1)
        cutoff = self.tau * labeled.amax(dim=1).mean()
        selected = (confidence >= cutoff).to(labels.confidence.dtype)
        return PolicyOutput(selected, targets, cutoff.expand(labeled.shape[1])), memory

    def align(self, probabilities: Tensor, memory: StateDict) -> Tensor:
        return align_distribution(probabilities, memory["p_target"], memory["p_bar"])
