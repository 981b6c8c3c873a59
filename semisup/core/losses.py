"""Losses that are sums over images, so that none and all are the same formula."""

from torch import Tensor
from torch.nn.functional import cross_entropy


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weight: Tensor, count: int) -> Tensor:
    """sum_i weight_i CE(logits_i, targets_i) / count: exactly 0, with gradient 0, where all weights are.

    (cross_entropy over an empty selection would be NaN; this divides by all images, chosen or not.)

    Args:
        logits: (n, K) float.
        targets: (n,) int64 in [0, K).
        weight: (n,) float in [0, 1].
        count: of all images that were weighed; n, unless those of weight 0 were left out.
    """
    return (cross_entropy(logits.float(), targets, reduction="none") * weight).sum() / max(count, 1)
