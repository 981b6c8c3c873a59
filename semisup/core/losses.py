"""Compute the weighted cross-entropy, which stays finite if no image is selected."""

from torch import Tensor
from torch.nn.functional import cross_entropy


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor, count: int) -> Tensor:
    """Compute the weighted cross-entropy sum_i weight_i * CE(logits_i, targets_i) / count.

    If all weights are 0, the loss and its gradient are exactly 0. Therefore the divisor is the number of all images,
    selected or not: the mean over an empty selection would be NaN.

    Args:
        logits: (n, K) float.
        targets: (n,) int64 in [0, K), or (n, K) probabilities.
        weight: (n,) float in [0, 1].
        count: number of all images, selected or not. This is n, unless images of weight 0 were left out of `logits`.
    """
    return (cross_entropy(logits.float(), targets, reduction="none") * weight).sum() / max(count, 1)
