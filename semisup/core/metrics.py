"""Compute metrics of predictions and of pseudo-labels, such as accuracy, coverage and AUROC."""

import math

import torch
from torch import Tensor

from semisup.core.device import exact
from semisup.core.types import ClassCounts


def confusion_counts(targets: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Compute the confusion matrix, (K, K) int64: row = true class, column = predicted class.

    Images whose true class is -1 (unknown) are ignored.
    """
    known = targets >= 0
    flat = torch.where(known, targets * num_classes + predicted, num_classes**2)
    counts = flat.new_zeros(num_classes**2 + 1).index_add(
        0, flat, torch.ones_like(flat)
    )  # bincount would synchronize a GPU
    return counts[:-1].view(num_classes, num_classes)


def accuracy_from_confusion(confusion: Tensor) -> float:
    """Compute the accuracy, in [0, 1], from a confusion matrix; NaN without images."""
    total = int(confusion.sum())
    return float(confusion.diagonal().sum()) / total if total else float("nan")


def recall_per_class(confusion: Tensor) -> list[float | None]:
    """Compute the recall of each of the K classes, in [0, 1]; None for a class without images."""
    correct, images = confusion.diagonal().tolist(), confusion.sum(dim=1).tolist()
    return [hits / count if count else None for hits, count in zip(correct, images, strict=True)]


def balanced_accuracy(confusion: Tensor) -> float | None:
    """Compute the mean recall, in [0, 1], over the classes that have images; None without images.

    The value equals that of `sklearn.metrics.balanced_accuracy_score`.
    """
    recalls = [recall for recall in recall_per_class(confusion) if recall is not None]
    return sum(recalls) / len(recalls) if recalls else None


def macro_f1(confusion: Tensor) -> float | None:
    """Compute the mean over classes of F1 = 2 * TP / (images + predictions), in [0, 1]; None without images.

    Classes with neither images nor predictions are left out. The value equals that of
    `sklearn.metrics.f1_score(average="macro")`.
    """
    correct = confusion.diagonal().tolist()
    totals = (confusion.sum(dim=0) + confusion.sum(dim=1)).tolist()
    scores = [2 * hits / total for hits, total in zip(correct, totals, strict=True) if total]
    return sum(scores) / len(scores) if scores else None


def coverage(weight: Tensor) -> float:
    """Compute the fraction of images that are selected (weight > 0); 0 without images."""
    return float((weight > 0).float().mean()) if len(weight) else 0.0


def pseudo_accuracy(targets: Tensor, weight: Tensor, hidden_targets: Tensor) -> float | None:
    """Compute the fraction of correct pseudo-labels among selected images whose true class is known.

    Args:
        targets: (U,) int64 in [0, K), the pseudo-labels.
        weight: (U,) float, > 0 = selected.
        hidden_targets: (U,) int64, the true classes in [0, K); K = an image of another class, -1 = unknown.

    Returns:
        the fraction in [0, 1]; None if there are no such images.
    """
    counted = (weight > 0) & (hidden_targets >= 0)
    return float((targets == hidden_targets)[counted].float().mean()) if bool(counted.any()) else None


def normalized_entropy(counts: Tensor) -> float | None:
    """Compute the entropy of (K,) class counts, divided by the maximum log K: in [0, 1]; None if all counts are 0."""
    total = int(counts.sum())
    if total == 0:
        return None
    if len(counts) == 1:
        return 1.0
    shares = exact(counts) / total
    return min(1.0, float(torch.special.entr(shares).sum()) / math.log(len(counts)))


def per_class(targets: Tensor, weight: Tensor, hidden_targets: Tensor, threshold: Tensor) -> ClassCounts:
    """Count the pseudo-labels of each class: all, selected, and correct ones.

    Args:
        targets: (U,) int64 in [0, K), the pseudo-labels; -1 = not labeled.
        weight: (U,) float, > 0 = selected.
        hidden_targets: (U,) int64, the true classes in [0, K); K = an image of another class, -1 = unknown.
        threshold: (K,) float, the minimum confidence of each class.
    """
    selected = weight > 0
    known = selected & (hidden_targets >= 0)

    def count(images: Tensor) -> list[int]:
        counts: list[int] = torch.bincount(targets[images], minlength=len(threshold)).tolist()
        return counts

    correct = known & (targets == hidden_targets)
    return ClassCounts(count(targets >= 0), count(selected), count(known), count(correct), exact(threshold).tolist())


def share_of_class(number: int, weight: Tensor, hidden_targets: Tensor) -> float | None:
    """Compute the fraction of the class with index `number` among selected images whose true class is known.

    Args:
        weight: (U,) float, > 0 = selected.
        hidden_targets: (U,) int64, the true classes; -1 = unknown.

    Returns:
        the fraction in [0, 1]; None if there are no selected images of known class.
    """
    counted = (weight > 0) & (hidden_targets >= 0)
    return float((hidden_targets[counted] == number).float().mean()) if bool(counted.any()) else None


def auroc(scores: Tensor, positive: Tensor) -> float | None:
    """Compute the area under the ROC curve, in [0, 1]; None if all images are positive or all are negative.

    It is the probability that a positive image has a higher score than a negative one; equal scores count as 1/2. The
    value equals that of `sklearn.metrics.roc_auc_score`.

    Args:
        scores: (n,) float.
        positive: (n,) bool.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        return None
    # not sklearn's function, whose import takes 2 s
    order = scores.sort().values
    first, last = torch.searchsorted(order, scores), torch.searchsorted(order, scores, right=True)
    ranks = exact(first + last + 1) / 2  # mean rank of equal scores, from 1
    return (float(ranks[positive].sum()) - positives * (positives + 1) / 2) / (positives * negatives)
