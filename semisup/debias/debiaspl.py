"""DebiasPL (arXiv 2201.01490): remove the mean prediction from the logits of pseudo-labels.

    p_hat    = m * p_hat + (1 - m) * mean_i softmax(z_i); starts at 1 / K                        (K,)
    labels   softmax(z_i - strength * log p_hat) in place of softmax(z_i)                        (U, K)
    loss     CE(z'_i + strength * log p_hat, target_i) in place of CE(z'_i, target_i), with margin_loss=true

`strength` and m (`momentum`) are settings, K is the number of classes, U the number of unlabeled images in a step, and
CE the cross-entropy. z_i are the logits of the view from which the pseudo-label target_i is computed, and z'_i are the
logits of the view on which the model is trained. The confidence is that of the corrected prediction. p_hat is the mean
of the uncorrected predictions for all unlabeled images, selected or not. At each step, pseudo-labels are computed with
p_hat before its update, and the loss with p_hat after its update, as in the authors' code.

    online     m = 0.999 has a time constant of 1,000 steps; use 0.99 for short runs
    offline    p_hat is the mean prediction for the whole unlabeled set (m = 0). It is computed at each labeling, before
               the pseudo-labels. The loss uses it until the next labeling

Assumption: the classes are about equally frequent in the unlabeled set. Then a mean prediction that is not uniform is a
bias of the model. If some classes are in fact more frequent, their correct labels become less likely; use a smaller
`strength`.

Probabilities differ from those of the authors' code (frank-xwang/debiased-pseudo-labeling at 3d68ccb:
`causal_inference`, `update_qhat` and the margin in `main_DebiasPL.py`) by at most 5e-7, and losses by at most 3e-6
(docs/long_tail.md).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semisup.core.types import StateDict
from semisup.errors import check_range

SMALLEST_SHARE = 1e-8
"""Lower bound of p_hat, so that its logarithm is finite."""


@dataclass(frozen=True)
class DebiasPL:
    """Settings of DebiasPL, explained in `conf/debias/debiaspl.yaml`."""

    strength: float
    momentum: float
    margin_loss: bool

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0, above=True)
        check_range("momentum", self.momentum, 0, 1, below=True)

    @property
    def corrects(self) -> bool:
        return True

    @property
    def changes_loss(self) -> bool:
        return self.margin_loss

    def init(self, num_classes: int) -> StateDict:
        """Build the initial memory: `p_hat`, (K,) float32, the running mean prediction."""
        return {"p_hat": torch.full((num_classes,), 1 / num_classes)}

    def observe(self, logits: Tensor, memory: StateDict, *, whole: bool) -> StateDict:
        if len(logits) == 0:
            return memory
        mean = logits.float().softmax(dim=1).mean(dim=0)
        return {"p_hat": memory["p_hat"].lerp(mean, 1.0 if whole else 1 - self.momentum)}

    def shift(self, memory: StateDict) -> Tensor | None:
        return -self._log_share(memory)

    def margin(self, memory: StateDict) -> Tensor | None:
        return self._log_share(memory) if self.margin_loss else None

    def _log_share(self, memory: StateDict) -> Tensor:
        return self.strength * memory["p_hat"].clamp(min=SMALLEST_SHARE).log()
