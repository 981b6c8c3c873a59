"""Compute the threshold curve: for many thresholds, coverage and accuracy of the pseudo-labels they would select.

    selected(tau) = the images with confidence >= tau                   (as with `threshold=fixed`)
    coverage(tau) = |selected(tau)| / n
    accuracy(tau) = fraction of correct pseudo-labels among the selected images whose true class is known

The thresholds are 0, 0.01, ..., 0.99, then 0.991, 0.992, ..., 0.999, 0.9995 and 0.9999.
"""

import math

import torch
from torch import Tensor

from semisup.core.device import exact
from semisup.core.types import ThresholdCurve

THRESHOLDS = (*(number / 100 for number in range(100)), *(number / 1000 for number in range(991, 1000)), 0.9995, 0.9999)
TARGET_ACCURACIES = (90, 95, 99)
"""Accuracies in percent; for each, the summary of a run contains the lowest threshold that reaches it."""


def threshold_curve(confidence: Tensor, targets: Tensor, truth: Tensor) -> ThresholdCurve:
    """Compute coverage and accuracy of the pseudo-labels of n images for every threshold in THRESHOLDS.

    Args:
        confidence: (n,) float in [0, 1].
        targets: (n,) int64 in [0, K), the predicted class; -1 = not predicted, ignored.
        truth: (n,) int64 in [0, K), or -1 if unknown.
    """
    seen = targets >= 0
    confidence, targets, truth = confidence[seen], targets[seen], truth[seen]
    confidence, order = confidence.sort(stable=True)
    known = truth[order] >= 0
    correct = known & (targets[order] == truth[order])
    taus = torch.tensor(THRESHOLDS, dtype=confidence.dtype, device=confidence.device)
    below = torch.searchsorted(confidence, taus)  # (T,) number of images with confidence < tau
    selected = len(confidence) - below
    known_selected, correct_selected = _count_from(known, below), _count_from(correct, below)
    accuracy = (exact(correct_selected) / exact(known_selected)).tolist()
    coverage = (exact(selected) / max(len(confidence), 1)).tolist()
    return ThresholdCurve(coverage, [None if math.isnan(share) else share for share in accuracy])  # 0 / 0


def _count_from(flags: Tensor, begin: Tensor) -> Tensor:
    """For each of T indices, count the flags that are True from this index to the end.

    Args:
        flags: (n,) bool.
        begin: (T,) int64 indices.

    Returns:
        (T,) int64.
    """
    before = torch.cat((flags.new_zeros(1, dtype=torch.int64), flags.cumsum(0)))
    return before[-1] - before[begin]


def lowest_threshold_for(curve: ThresholdCurve, accuracy: float) -> tuple[float, float] | None:
    """Return (threshold, coverage) of the lowest threshold with at least this accuracy; None if there is none."""
    for tau, covered, share in zip(THRESHOLDS, curve.coverage, curve.accuracy, strict=True):
        if share is not None and share >= accuracy:
            return tau, covered
    return None


def summary_thresholds(curve: ThresholdCurve) -> dict[str, float | None]:
    """Compute the entries of summary.json about the lowest thresholds with an accuracy of 90, 95 and 99 %.

    Returns:
        For 95 %, `what_if/tau_for_95` (the lowest threshold with this accuracy) and `what_if/coverage_for_95`; both are
        None if no threshold has this accuracy. The names for 90 and 99 % are formed alike.
    """
    summary: dict[str, float | None] = {}
    for goal in TARGET_ACCURACIES:
        tau, covered = lowest_threshold_for(curve, goal / 100) or (None, None)
        summary |= {f"what_if/tau_for_{goal}": tau, f"what_if/coverage_for_{goal}": covered}
    return summary
