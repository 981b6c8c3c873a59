"""Numbers that say how well it goes, from counts that add up over batches."""

import math

import torch
from torch import Tensor

from semisup.core.types import ClassCounts


def confusion_counts(targets: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """(K, K) int64: row = true class, column = predicted class; images of unknown class (-1) do not count."""
    known = targets >= 0
    flat = torch.where(known, targets * num_classes + predicted, num_classes**2)
    counts = flat.new_zeros(num_classes**2 + 1).index_add(0, flat, torch.ones_like(flat))  # bincount waits for a GPU
    return counts[:-1].view(num_classes, num_classes)


def accuracy_from_confusion(confusion: Tensor) -> float:
    """The share on the diagonal, in [0, 1]; NaN where nothing was counted."""
    total = int(confusion.sum())
    return float(confusion.diagonal().sum()) / total if total else float("nan")


def coverage(weight: Tensor) -> float:
    """The share of the images that are used at all; 0 of none."""
    return float((weight > 0).float().mean()) if len(weight) else 0.0


def pseudo_accuracy(targets: Tensor, weight: Tensor, hidden_targets: Tensor) -> float | None:
    """The share of the used images whose pseudo-label is the true class; None where none is used or known."""
    judged = (weight > 0) & (hidden_targets >= 0)
    return float((targets == hidden_targets)[judged].float().mean()) if bool(judged.any()) else None


def normalized_entropy(counts: Tensor) -> float | None:
    """Entropy of (K,) counts as shares, over that of K equal shares: in [0, 1]; 1 where K = 1, None of nothing."""
    total = int(counts.sum())
    if total == 0:
        return None
    if len(counts) == 1:
        return 1.0
    shares = counts.double() / total
    return min(1.0, float(torch.special.entr(shares).sum()) / math.log(len(counts)))


def per_class(targets: Tensor, weight: Tensor, hidden_targets: Tensor, threshold: Tensor) -> ClassCounts:
    """What became of (U,) pseudo-labels, class by class; `hidden_targets` are -1 where unknown, `threshold` is (K,)."""
    kept = weight > 0
    known = kept & (hidden_targets >= 0)

    def count(which: Tensor) -> list[int]:
        counts: list[int] = torch.bincount(targets[which], minlength=len(threshold)).tolist()
        return counts

    right = known & (targets == hidden_targets)
    return ClassCounts(count(targets >= 0), count(kept), count(known), count(right), threshold.double().tolist())
