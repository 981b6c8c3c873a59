"""Class weights: larger weights for rare classes, by the effective number of samples (arXiv 1901.05555).

    E_k    = (1 - beta^n_k) / (1 - beta)                            effective number; n_k labeled images of class k
    w_k    = c / E_k, with c so that sum_k n_k * w_k = sum_k n_k    (K,)
    loss   = mean_i w_(y_i) * CE(z_i, y_i)                          labeled images only

z_i are the logits of labeled image i, y_i is its class, CE the cross-entropy, and K the number of classes.

With beta = 0, E_k = 1 and all weights are equal. With beta = 1, E_k = n_k and the weights are proportional to 1 / n_k.
With few labels (n_k < 1 / (1 - beta)), E_k is close to n_k: beta = 0.999 then gives nearly the weights of beta = 1. For
a class without labels, n_k = 1 is used.

The authors' code scales the weights to sum_k w_k = K. Here the mean weight of a labeled image is 1, so that
`method.lambda_unlabeled` has the same meaning as without weights. The loss on pseudo-labels is unchanged, as in the
paper. For a soft target q (mixmatch), the loss is -sum_k w_k * q_k * log p_k; p_k is the predicted probability.

The ratios of the weights differ from those of the authors' code (richardaecn/class-balanced-loss at 1d78572) by at most
7e-8 (docs/long_tail.md).

Assumption: at test time, all classes are equally important; use train.select_by=balanced_accuracy. Nothing is assumed
about the unlabeled set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from semisup.core.device import exact
from semisup.core.losses import ClassTerms
from semisup.errors import check_range


@dataclass(frozen=True)
class ClassWeights:
    """Settings of class weights, explained in `conf/loss/class_weights.yaml`."""

    beta: float

    without_unlabeled: ClassVar[Mapping[str, object]] = {}

    def __post_init__(self) -> None:
        check_range("beta", self.beta, 0, 1)

    def labeled(self, counts: Tensor) -> ClassTerms:
        images = exact(counts).clamp(min=1)
        effective = images if self.beta == 1 else (1 - self.beta**images) / (1 - self.beta)
        weights = 1 / effective
        return ClassTerms(weight=(weights * images.sum() / (weights * images).sum()).float().to(counts.device))
