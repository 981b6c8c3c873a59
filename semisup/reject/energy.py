"""Reject images of high energy (arXiv 2010.03759, equation 4).

    score_i = -E_i = T * log sum_c exp(z_ic / T)        z_ic: logit c of image i, T: temperature

E_i is the energy of image i. With T = 1 the score is the logarithm of the denominator of the softmax. Unlike the
confidence, it is lower if all logits are small.

For 10,000 random rows of 11 logits, the scores equal those of the authors' code (wetliu/energy_ood at 77f3c09,
`get_ood_scores`) and of pytorch-ood 0.4.0 (`EnergyBased.score`) bit for bit, with the opposite sign (docs/open_set.md).
"""

from dataclasses import dataclass

from torch import Tensor

from semisup.errors import check_range
from semisup.reject._limits import Limits


@dataclass(frozen=True)
class Energy(Limits):
    """Settings of the energy score, explained in `conf/reject/energy.yaml`."""

    temperature: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("temperature", self.temperature, 0, above=True)

    def score_logits(self, logits: Tensor) -> Tensor:
        return self.temperature * (logits.float() / self.temperature).logsumexp(dim=1)
