"""What every threshold would have kept, and how much of that would have been right: from one pass, for all thresholds.

    kept(tau)     = the images with confidence >= tau                   (as `threshold=fixed` keeps them)
    coverage(tau) = |kept| / n,  accuracy(tau) = the share of the kept of known class whose class is that

The grid is fine where thresholds are chosen: steps of .01 up to .99, of .001 up to .999, then .9995 and .9999.
"""

import torch
from torch import Tensor

from semisup.core.types import ThresholdCurve

THRESHOLDS = (*(number / 100 for number in range(100)), *(number / 1000 for number in range(991, 1000)), 0.9995, 0.9999)
TARGET_ACCURACIES = (90, 95, 99)
"""Percentages of right labels for which the summary names the threshold."""


def threshold_curve(confidence: Tensor, targets: Tensor, truth: Tensor) -> ThresholdCurve:
    """What every threshold of TAUS keeps of n images; all three on one device.

    Args:
        confidence: (n,) float in [0, 1].
        targets: (n,) int64 in [0, K), the predicted class; -1 = the image was never looked at, and does not count.
        truth: (n,) int64 in [0, K), or -1 where it is not known.
    """
    seen = targets >= 0
    confidence, targets, truth = confidence[seen], targets[seen], truth[seen]
    confidence, order = confidence.sort(stable=True)
    known = truth[order] >= 0
    right = known & (targets[order] == truth[order])
    taus = torch.tensor(THRESHOLDS, dtype=confidence.dtype, device=confidence.device)
    below = torch.searchsorted(confidence, taus)  # (T,) how many are less sure than tau
    kept = len(confidence) - below
    known_kept, right_kept = _from(known, below), _from(right, below)
    accuracy = (right_kept.double() / known_kept).tolist()
    coverage = (kept.double() / max(len(confidence), 1)).tolist()
    return ThresholdCurve(coverage, [share if share == share else None for share in accuracy])  # 0 / 0 is not itself


def _from(flags: Tensor, begin: Tensor) -> Tensor:
    """(T,) int64: how many of the (n,) flags are set from each of the (T,) positions on."""
    before = torch.cat((flags.new_zeros(1, dtype=torch.int64), flags.cumsum(0)))
    return before[-1] - before[begin]


def lowest_threshold_for(found: ThresholdCurve, accuracy: float) -> tuple[float, float] | None:
    """The lowest threshold whose kept images are right by at least `accuracy`, and its coverage; None if none is."""
    for tau, covered, share in zip(THRESHOLDS, found.coverage, found.accuracy, strict=True):
        if share is not None and share >= accuracy:
            return tau, covered
    return None


def summary_thresholds(found: ThresholdCurve) -> dict[str, float | None]:
    """For the summary: of each of GOALS the threshold `what_if/tau_for_95` and its `what_if/coverage_for_95`."""
    summary: dict[str, float | None] = {}
    for goal in TARGET_ACCURACIES:
        tau, covered = lowest_threshold_for(found, goal / 100) or (None, None)
        summary |= {f"what_if/tau_for_{goal}": tau, f"what_if/coverage_for_{goal}": covered}
    return summary
