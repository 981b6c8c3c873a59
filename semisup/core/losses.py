"""Losses as weighted sums over images, defined also if no image is selected."""

from torch import Tensor
from torch.nn.functional import cross_entropy


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor, count: int) -> Tensor:
    """Compute sum_i weight_i CE(logits_i, targets_i) / count: exactly 0, with gradient 0, if all weights are 0.

    The mean over an empty selection would be NaN; this divides by the number of all images, selected or not.

    Args:
        logits: (n, K) float.
        targets: (n,) int64 in [0, K), or (n, K) probabilities.
        weight: (n,) float in [0, 1].
        count: number of all images, selected or not; n, unless images of weight 0 were left out.
    """
    return (cross_entropy(logits.float(), targets, reduction="none") * weight).sum() / max(count, 1)
