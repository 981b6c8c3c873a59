"""Cross-entropy with image weights, or with class weights and a constant added to the logits of each class."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import cross_entropy


class ClassTerms(NamedTuple):
    """Class-dependent constants of the cross-entropy: a shift of the logits, and a weight for each class.

    shift: (K,) float, added to the logits of every image; None = no shift
    weight: (K,) float, factors of the loss by class of the image; None = 1 for every class
    """

    shift: Tensor | None = None
    weight: Tensor | None = None


def mean_cross_entropy(logits: Tensor, targets: Tensor, terms: ClassTerms) -> Tensor:
    """Compute the mean cross-entropy of n images: the sum of `image_cross_entropy` divided by n."""
    if terms.weight is not None:
        return image_cross_entropy(logits, targets, terms).mean()
    return cross_entropy(_shifted(logits, terms.shift), targets)


def image_cross_entropy(logits: Tensor, targets: Tensor, terms: ClassTerms) -> Tensor:
    """Compute the cross-entropy of each image, -sum_k weight_k * target_k * log softmax(logits + shift)_k, (n,) float.

    Args:
        logits: (n, K) float.
        targets: (n,) int64 in [0, K), or (n, K) probabilities.
    """
    return cross_entropy(_shifted(logits, terms.shift), targets, weight=terms.weight, reduction="none")


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor, count: int) -> Tensor:
    """Compute the weighted cross-entropy sum_i weight_i * CE(logits_i, targets_i) / count.

    If all weights are 0, the loss and its gradient are exactly 0.

    Args:
        logits: (n, K) float.
        targets: (n,) int64 in [0, K), or (n, K) probabilities.
        weight: (n,) float in [0, 1]; 0 = the image is not selected.
        count: divisor of the sum: the number of all images, of which images of weight 0 may be left out of `logits`.
    """
    # divided by the number of all images, because the mean over an empty selection would be NaN
    return (cross_entropy(logits.float(), targets, reduction="none") * weight).sum() / max(count, 1)


def _shifted(logits: Tensor, shift: Tensor | None) -> Tensor:
    return logits if shift is None else logits + shift
