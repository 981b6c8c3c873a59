"""Estimate the gains of runs over their reference runs of the same seed and fold, with confidence intervals.

The confidence intervals contain the variance between seeds or folds and the variance between test images.
`docs/statistics.md` explains the reference runs and the intervals.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy

from semisup.analysis.folds import overlap
from semisup.analysis.intervals import Interval, chosen_interval, paired_interval, seeds_needed
from semisup.analysis.runs import Run
from semisup.analysis.stored_predictions import StoredPredictions

CONTROL, LABELS_ONLY, BASELINE = "control", "best labels-only", "baseline"
KINDS = (CONTROL, LABELS_ONLY, BASELINE)
"""Kinds of reference runs, in the order in which a comparison reports them."""


class Evidence(StrEnum):
    """Strength of the evidence for a gain.

    CLEAR and CLEAR_HARM are used only for the runs of `semisup confirm`.
    """

    UNKNOWN = "unknown"  # fewer than two seeds, or no finished reference run
    NONE = "no evidence"
    SUGGESTIVE = "suggestive"
    SUGGESTIVE_HARM = "suggestive of harm"
    CLEAR = "clear"
    CLEAR_HARM = "clear harm"


class Pair(NamedTuple):
    """A finished run and its finished reference run of the same seed and fold.

    points: the gain in percentage points
    """

    run: Run
    other: Run
    points: float


class Gain(NamedTuple):
    """Estimated gain of a row (the runs of one setting) over the reference runs of the same seeds.

    mean: in percentage points
    interval: 95 % interval, valid if the setting was chosen before its runs; None with fewer than two pairs
    sweep_interval: 95 % interval, valid also if this row was chosen as the best one; None with fewer than two pairs
    pairs: number of pairs of a finished run and its finished reference run
    for_these_labels: whether all seeds had the same labeled images; the intervals are then valid for these labels only
    overlap: n_test / n_train of the cross-validation folds; 0 without folds
    """

    mean: float
    interval: Interval | None
    sweep_interval: Interval | None
    pairs: int
    for_these_labels: bool
    overlap: float = 0.0


def estimate_gains(
    rows: Sequence[Sequence[Pair]], splits: Sequence[str], stored: StoredPredictions
) -> list[Gain | None]:
    """Estimate the gain of every row (the runs of one setting) over its reference runs.

    Args:
        rows: for each row, its pairs of a finished run and its finished reference run, sorted by seed.
        splits: for each row, the split on which its gain is measured, `test` or `validation`.
        stored: cache of stored predictions.

    Returns:
        One gain for each row; None for a row without pairs. `sweep_interval` is corrected for the choice among the rows
        that have the same seeds.
    """
    peers: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for number, pairs in enumerate(rows):
        peers.setdefault(tuple(pair.run.replicate for pair in pairs), []).append(number)
    place = {number: (group, position) for group in peers.values() for position, number in enumerate(group)}
    gains: list[Gain | None] = []
    for number, (pairs, split) in enumerate(zip(rows, splits, strict=True)):
        if not pairs:
            gains.append(None)
            continue
        group, position = place[number]
        points = [pair.points for pair in pairs]
        means = shared_image_means(pairs, split, stored) if len(pairs) > 1 else None
        shared_labels = overlap([pair.run for pair in pairs])
        together = chosen_interval(
            [[pair.points for pair in rows[each]] for each in group], position, means, shared_labels
        )
        same = len(pairs) > 1 and len({pair.run.fingerprint for pair in pairs} - {None}) == 1
        alone = paired_interval(points, means, shared_labels)
        gains.append(Gain(sum(points) / len(points), alone, together, len(pairs), same, shared_labels))
    return gains


def shared_image_means(pairs: Sequence[Pair], split: str, stored: StoredPredictions) -> list[float] | None:
    """For each image of the split, average the difference in correctness between run and reference run over the seeds.

    The difference is 1 if only the run is correct, -1 if only its reference run is correct, else 0. If the gain is
    measured in balanced accuracy, it is multiplied by the weight of the image, so that the mean is the gain.

    Returns:
        One number for each image, in percentage points; None if the seeds have different images, or if a run has no
        predictions.csv.
    """
    read = [stored.of(run, split) for pair in pairs for run in (pair.run, pair.other)]
    present = [each for each in read if each is not None]
    if len(present) < len(read) or len({each.images for each in present}) != 1:
        return None
    correct = numpy.array([each.correct for each in present], dtype=numpy.float64)
    weights = present[0].weights(pairs[0].run.measure)
    means: list[float] = (100 * weights * (correct[::2] - correct[1::2]).mean(axis=0)).tolist()
    return means


def seeds_to_detect(gain: Gain, *, confirmed: bool) -> float | None:
    """Compute how many new seeds would detect a gain of this size in a confirmation, if its interval contains 0.

    They can be fewer than those of the sweep, whose interval is corrected for the choice of the best setting.

    Args:
        confirmed: whether the runs are those of a confirmation, whose number of seeds was chosen in advance.

    Returns:
        Infinity if more than 1,000 seeds would be needed, for example because there are too few test images. None in
        each of these cases: the interval does not contain 0; the gain is not positive; the runs are cross-validation
        folds (more folds add no labels); the runs are those of a confirmation.
    """
    interval = gain.sweep_interval
    if interval is None or confirmed or evidence(interval, confirmed=False) is not Evidence.NONE:
        return None
    if gain.mean <= 0 or gain.overlap:
        return None
    alone = gain.interval
    of_images = max(0.0, alone.standard_error**2 - alone.deviation**2 / alone.seeds) if alone else 0.0
    return seeds_needed(gain.mean, interval.deviation, of_images) or math.inf


def evidence(interval: Interval | None, *, confirmed: bool) -> Evidence:
    """Judge the evidence for a gain by its confidence interval.

    Args:
        confirmed: whether the interval is that of a confirmation (new seeds, and a setting chosen before).
    """
    if interval is None:
        return Evidence.UNKNOWN
    if interval.low > 0:
        return Evidence.CLEAR if confirmed else Evidence.SUGGESTIVE
    if interval.high < 0:
        return Evidence.CLEAR_HARM if confirmed else Evidence.SUGGESTIVE_HARM
    return Evidence.NONE
