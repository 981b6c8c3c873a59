"""A threshold relative to the confidence on labeled images, after alignment: AdaMatch (arXiv 2106.04732), section 3.

    p_target = m p_target + (1 - m) mean of the labeled images' predictions, starts at 1 / K        (K,)
    p_bar    = m p_bar + (1 - m) mean_i p_i, the first time mean_i p_i                              (K,)
    p~_i     = norm(p_i (p_target + 1e-6) / (p_bar + 1e-6)), norm(x) = x / sum x                    (U, K)
    weight_i = 1 if max p~_i >= tau (mean of the labeled images' largest probability) else 0

Both are updated before they are used. The pseudo-label is argmax p~_i, which need not be that of p_i: use
`Selection.targets`. `threshold` is the cut-off, for p~, the same for every class. tau = 1 does not mean none:
what is surer than labeled images are on average is accepted.

    at every step (a batch of the set)    labeled = the labeled batch, as in the paper; m = .999 has a time constant of
                                          1,000 steps, short runs want .99
    by rounds (the whole pool at once)    labeled = the whole labeled set, on which a model trained on it is nearly
                                          certain, so that the cut-off is close to tau; the pool's own mean is aligned
                                          with the labeled set's (m = 0)
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range
from semisup.threshold._running import pool_size_memory, update_rate
from semisup.threshold.softmatch import align_distribution, running_mean


@dataclass(frozen=True)
class AdaMatch:
    """`tau` in [0, 1], the share of the labeled images' mean confidence that has to be reached; `momentum` m in [0, 1)
    of both means, with a time constant of 1 / (1 - m) selects."""

    tau: float
    momentum: float

    uses_labeled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("tau", self.tau, 0, 1)
        check_range("momentum", self.momentum, 0, 0.9999999)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """p_target: (K,) float32; p_bar: (K,) float32, all 0 = none yet."""
        start = {"p_target": torch.full((num_classes,), 1 / num_classes), "p_bar": torch.zeros(num_classes)}
        return start | pool_size_memory(num_unlabeled)

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        assert context.labeled is not None, "adamatch compares with labeled images"
        labeled = context.labeled.probabilities.float()
        memory = {name: value.to(labels.confidence.device) for name, value in memory.items()}
        if len(labels.confidence) > 0:
            step = update_rate(self.momentum, len(labels.confidence), memory)
            memory = memory | {
                "p_target": memory["p_target"].lerp(labeled.mean(dim=0), step),
                "p_bar": running_mean(memory["p_bar"], labels.probabilities, step),
            }
        confidence, targets = align_distribution(labels.probabilities, memory["p_target"], memory["p_bar"]).max(dim=1)
        cut_off = self.tau * labeled.amax(dim=1).mean()
        kept = (confidence >= cut_off).to(labels.confidence.dtype)
        return PolicyOutput(kept, targets, cut_off.expand(labeled.shape[1])), memory
