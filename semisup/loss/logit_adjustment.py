"""Logit adjustment (arXiv 2007.07314, equation 10): add scale * log(class prior) to the logits in the loss.

    labeled      CE(z_i + scale * log pi, y_i),   pi_k = n_k / sum_j n_j, n_k labeled images of class k       (K,)
    unlabeled    CE(z_i + scale * log pi', target_i), with pi' by the setting `unlabeled`:
                   none      no adjustment, as in the paper, which has no unlabeled images
                   labels    pi' = pi
                   estimate  pi' = m * pi' + (1 - m) * (share of each class in the weights of the step's pseudo-labels);
                             starts at 1 / K; m is the setting `momentum`. With offline methods, pi' is the share of
                             each class in the present pseudo-labeled set (m = 0).

z_i are the logits of image i, y_i is its class, target_i its pseudo-label, CE the cross-entropy, K the number of
classes.

The model predicts by argmax z_i, without adjustment. With scale = 1, this minimizes the balanced error. Pseudo-labels
are also computed from z_i, so fewer of them belong to frequent classes than after training by plain cross-entropy. For
a class without labels, n_k = 1 is used, and pi' is at least 1e-6, so that no loss is infinite.

Assumptions: at test time, all classes are equally important. `labels` assumes that the unlabeled set has the class
frequencies of the labels. `estimate` assumes that the unlabeled set has the class frequencies of the pseudo-labels; it
cannot distinguish a class that is frequent from one that the model prefers.

The losses differ from those of the authors' code (google-research at 1d4d2f1, `build_loss_fn`) by at most 1e-6
(docs/long_tail.md).

The methods mixmatch and mean_teacher, whose unlabeled loss compares probabilities, require unlabeled=none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.losses import ClassTerms
from semisup.core.types import PolicyOutput, StateDict
from semisup.errors import check_choice, check_range

PRIORS = ("none", "labels", "estimate")
SMALLEST_SHARE = 1e-6


@dataclass(frozen=True)
class LogitAdjustment:
    """Settings of logit adjustment, explained in `conf/loss/logit_adjustment.yaml`.

    `momentum` is the m in the formula at the top of this module.
    """

    scale: float
    unlabeled: str
    momentum: float

    without_unlabeled: ClassVar[Mapping[str, object]] = {"unlabeled": "none", "momentum": 0.0}

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0)
        check_choice("unlabeled", self.unlabeled, PRIORS)
        check_range("momentum", self.momentum, 0, 1, below=True)

    @property
    def changes_unlabeled(self) -> bool:
        return self.unlabeled != "none"

    def labeled(self, counts: Tensor) -> ClassTerms:
        return ClassTerms(shift=self._shift(counts.float().clamp(min=1)))

    def init(self, num_classes: int) -> StateDict:
        """Build the initial memory: with unlabeled=estimate, `shares`, (K,) float32, which is pi'; otherwise {}."""
        return {"shares": torch.full((num_classes,), 1 / num_classes)} if self.unlabeled == "estimate" else {}

    def observe(self, selection: PolicyOutput, memory: StateDict, *, whole: bool) -> StateDict:
        if self.unlabeled != "estimate":
            return memory
        sums = torch.zeros_like(memory["shares"]).index_add(0, selection.targets, selection.weight.float())
        shares = sums / sums.sum().clamp(min=1e-12)
        updated = memory["shares"].lerp(shares, 1.0 if whole else 1 - self.momentum)
        return {"shares": torch.where(sums.sum() > 0, updated, memory["shares"])}

    def unlabeled_shift(self, counts: Tensor, memory: StateDict) -> Tensor:
        if self.unlabeled == "estimate":
            return self._shift(memory["shares"].clamp(min=SMALLEST_SHARE))
        return self._shift(counts.float().clamp(min=1))

    def _shift(self, frequencies: Tensor) -> Tensor:
        return self.scale * (frequencies / frequencies.sum()).log()
