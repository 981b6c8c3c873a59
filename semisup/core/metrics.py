"""Metrics computed from counts that add up over batches."""

import math

import torch
from torch import Tensor

from semisup.core.types import ClassCounts


def confusion_counts(targets: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Count predictions as (K, K) int64: row = true class, column = predicted class; a class of -1 is ignored."""
    known = targets >= 0
    flat = torch.where(known, targets * num_classes + predicted, num_classes**2)
    counts = flat.new_zeros(num_classes**2 + 1).index_add(
        0, flat, torch.ones_like(flat)
    )  # bincount would synchronize a GPU
    return counts[:-1].view(num_classes, num_classes)


def accuracy_from_confusion(confusion: Tensor) -> float:
    """Compute the accuracy in [0, 1]; NaN without counts."""
    total = int(confusion.sum())
    return float(confusion.diagonal().sum()) / total if total else float("nan")


def coverage(weight: Tensor) -> float:
    """Compute the fraction of images with weight > 0; 0 without images."""
    return float((weight > 0).float().mean()) if len(weight) else 0.0


def pseudo_accuracy(targets: Tensor, weight: Tensor, hidden_targets: Tensor) -> float | None:
    """Compute the fraction of correct pseudo-labels among selected images of known class; None if there are none."""
    counted = (weight > 0) & (hidden_targets >= 0)
    return float((targets == hidden_targets)[counted].float().mean()) if bool(counted.any()) else None


def normalized_entropy(counts: Tensor) -> float | None:
    """Compute the entropy of (K,) counts relative to the uniform distribution, in [0, 1]; None if all are 0."""
    total = int(counts.sum())
    if total == 0:
        return None
    if len(counts) == 1:
        return 1.0
    shares = counts.double() / total
    return min(1.0, float(torch.special.entr(shares).sum()) / math.log(len(counts)))


def per_class(targets: Tensor, weight: Tensor, hidden_targets: Tensor, threshold: Tensor) -> ClassCounts:
    """Count (U,) pseudo-labels per class; `hidden_targets` (U,) are -1 if unknown, `threshold` is (K,)."""
    selected = weight > 0
    known = selected & (hidden_targets >= 0)

    def count(images: Tensor) -> list[int]:
        counts: list[int] = torch.bincount(targets[images], minlength=len(threshold)).tolist()
        return counts

    correct = known & (targets == hidden_targets)
    return ClassCounts(count(targets >= 0), count(selected), count(known), count(correct), threshold.double().tolist())
