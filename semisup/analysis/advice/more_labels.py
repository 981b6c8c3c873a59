"""Check whether more labels would help more than any setting that was tried.

The learning curve has two points: labels-only runs with n labeled images, and the same runs with m < n of them. The
error is assumed to fall as a power of the number of labels, which is the usual shape of learning curves (Hestness et
al. 2017, arXiv 1712.00409):

    error(n) = c * n^-b        so        gain of 50 further labels = error(n) * (1 - (error(n) / error(m))^x)
                               with      x = log((n + 50) / n) / log(n / m)

The gain of 50 further labels is compared with the largest gain of a setting over the best labels-only runs. Since this
setting is chosen on the test images, its gain is overestimated, which makes a finding less likely. Let w be the gain of
50 further labels, divided by error(m) - error(n). For each seed s, the difference of the two gains is

    d_s = w * (accuracy(n) - accuracy(m)) - (accuracy of the setting - accuracy of the best labels-only run)

There is a finding if the 95 % interval of the mean of d (as in `analysis/intervals.py`) is above 0.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from semisup.analysis.advice.case import Case, NoFinding, image_count
from semisup.analysis.gains import LABELS_ONLY, Pair, shared_image_means
from semisup.analysis.intervals import Interval, paired_interval
from semisup.analysis.rows import Row, split_of
from semisup.analysis.run_settings import LABELS, LENGTHS, canonical, flatten
from semisup.analysis.runs import Run
from semisup.analysis.spread import summarize
from semisup.config.run_id import dataset_keys
from semisup.dataset import KeyRole

NAME = "value of more labels"
HALF = "labels-only runs with half of the labels"
TWO_SEEDS = "two seeds with all labels and with half of them"
MORE = 50
"""Number of further labels whose gain is predicted."""

SMALLEST_PART = 0.25
"""Runs with a smaller part of the labels are not used, because a prediction from them is too inaccurate."""


class MoreLabels(NamedTuple):
    """Finding: more labels are expected to help more than the best setting that was tried.

    labels, fewer: numbers of labeled images n and m, mean over the seeds
    at_labels, at_fewer: mean accuracies in [0, 1] of the labels-only runs with n and with m labeled images
    expected: predicted gain of MORE further labels, in percentage points
    row: the setting with the largest gain over the best labels-only runs
    gain: gain of this setting, in percentage points
    settings: number of settings that were tried
    advantage: 95 % confidence interval of `expected - gain`, in percentage points
    split: the images on which the accuracies are measured
    """

    labels: float
    fewer: float
    at_labels: float
    at_fewer: float
    expected: float
    row: Row
    gain: float
    settings: int
    advantage: Interval
    split: str


class Curve(NamedTuple):
    """Two points of a learning curve: labels-only runs of the same settings with n and with m < n labeled images.

    labels, fewer: n and m
    full, part: (seed, fold) -> run with n and with m labeled images
    """

    labels: float
    fewer: float
    full: Mapping[tuple[int, int], Run]
    part: Mapping[tuple[int, int], Run]


def check_more_labels(case: Case) -> MoreLabels | NoFinding:
    """Compare the predicted gain of more labels with the largest gain of a setting over labels alone."""
    rows = [row for row in case.comparison.rows if LABELS_ONLY in row.gains]
    if not rows:
        return NoFinding(NAME, "a run that uses unlabeled images, and its labels-only runs")
    curve = find_curve(case)
    if curve is None:
        return NoFinding(NAME, HALF)
    row = max(rows, key=lambda each: each.gains[LABELS_ONLY].mean)
    quadruples = [
        (run, reference.finished, curve.full[run.replicate], curve.part[run.replicate])
        for run, reference in zip(row.runs, row.labels_only, strict=True)
        if run.replicate in curve.full and run.replicate in curve.part
    ]
    complete = [(run, alone, full, part) for run, alone, full, part in quadruples if alone is not None]
    split = split_of([run for each in complete for run in each])
    complete = [each for each in complete if all(run.score(split) is not None for run in each)]
    if len(complete) < 2:
        return NoFinding(NAME, TWO_SEEDS)
    at_labels, at_fewer = (_mean([each[place] for each in complete], split) for place in (2, 3))
    expected = 100 * expected_gain(at_labels, at_fewer, curve.labels, curve.fewer)
    if expected <= 0:
        return NoFinding(NAME)
    weight = expected / (100 * (at_labels - at_fewer))
    by_labels = [_points(full, part, split) for _, _, full, part in complete]
    by_setting = [_points(run, alone, split) for run, alone, _, _ in complete]
    differences = [weight * one - other for one, other in zip(by_labels, by_setting, strict=True)]
    advantage = paired_interval(
        differences, _image_means(case, complete, split, weight), row.gains[LABELS_ONLY].overlap
    )
    assert advantage is not None
    if advantage.low <= 0:
        return NoFinding(NAME)
    gain = sum(by_setting) / len(by_setting)
    return MoreLabels(curve.labels, curve.fewer, at_labels, at_fewer, expected, row, gain, len(rows), advantage, split)


def expected_gain(at_labels: float, at_fewer: float, labels: float, fewer: float, more: int = MORE) -> float:
    """Predict how much the accuracy rises with `more` further labels, from the accuracies with two numbers of labels.

    Args:
        at_labels, at_fewer: accuracies in [0, 1] with `labels` and with `fewer` labeled images.

    Returns:
        The rise in [0, 1]; 0 if the accuracy does not rise from `fewer` to `labels`.
    """
    error, error_fewer = 1 - at_labels, 1 - at_fewer
    if error <= 0 or error >= error_fewer:
        return 0.0
    exponent = math.log((labels + more) / labels) / math.log(labels / fewer)
    return error * (1 - math.pow(error / error_fewer, exponent))


def find_curve(case: Case) -> Curve | None:
    """Find labels-only runs with all labels, and runs of the same settings with fewer labels; None if there are none.

    If there are runs with several smaller numbers of labels, the number closest to half of all labels is used. If
    several settings have runs with this number, the setting with the most seeds is used; if several have equally many
    seeds, the one with the best validation accuracy.
    """
    full, parts = _by_settings(case.comparison.runs), _by_settings(case.fewer)
    candidates: list[tuple[float, int, float, str, Curve]] = []
    for settings, by_labels in parts.items():
        for own in full.get(settings, {}).values():
            for fewer in by_labels.values():
                both = own.keys() & fewer.keys()
                many, few = (_labels([runs[each] for each in sorted(both)]) for runs in (own, fewer))
                if both and many and few and SMALLEST_PART <= few / many < 1:
                    closeness = -abs(math.log(2 * few / many))
                    accuracy = _mean([own[each] for each in both], "validation")
                    candidates.append((closeness, len(both), accuracy, settings, Curve(many, few, own, fewer)))
    return max(candidates, key=lambda each: each[:4])[-1] if candidates else None


def _by_settings(runs: Sequence[Run]) -> dict[str, dict[str, dict[tuple[int, int], Run]]]:
    """Select the finished labels-only runs, and group them by their settings and the number of labels per class.

    If several runs differ only in the number of steps, the longest one is used.

    Returns:
        settings, as text -> number of labels per class, as text -> (seed, fold) -> run.
    """
    groups: dict[str, dict[str, dict[tuple[int, int], Run]]] = defaultdict(lambda: defaultdict(dict))
    for run in sorted(runs, key=lambda run: run.number("steps") or 0):
        if run.done and not run.refit and not run.uses_unlabeled:
            flat = flatten(run.identity)
            keys = dataset_keys(run.identity["dataset"], KeyRole.SPLIT_SEED, KeyRole.FOLD)
            ignored = {"seed", "train.patience", f"dataset.{LABELS}", *LENGTHS, *(f"dataset.{key}" for key in keys)}
            settings = canonical({key: value for key, value in flat.items() if key not in ignored})
            groups[settings][canonical(flat.get(f"dataset.{LABELS}"))][run.replicate] = run
    return groups


def _labels(runs: Sequence[Run]) -> float | None:
    spread = summarize(image_count(run, "labeled") for run in runs)
    return spread.mean if spread else None


def _mean(runs: Sequence[Run], split: str) -> float:
    spread = summarize(run.score(split) for run in runs)
    return spread.mean if spread else 0.0


def _points(run: Run, other: Run, split: str) -> float:
    """Return the difference of the scores of two runs, which must have scores, in percentage points."""
    score, other_score = run.score(split), other.score(split)
    assert score is not None
    assert other_score is not None
    return 100 * (score - other_score)


def _image_means(
    case: Case, quadruples: Sequence[tuple[Run, Run, Run, Run]], split: str, weight: float
) -> list[float] | None:
    """Compute the difference d of this module's formula for each image, averaged over the seeds.

    The accuracy on a single image is 100 % if it is classified correctly, else 0.

    Args:
        quadruples: for each seed, the run of the setting, the best labels-only run, and the labels-only runs with n and
            with m labels.
        weight: w of the formula.

    Returns:
        One value per image, in percentage points; None if the seeds have different images.
    """
    labels = shared_image_means([Pair(full, part, 0.0) for _, _, full, part in quadruples], split, case.stored)
    setting = shared_image_means([Pair(run, alone, 0.0) for run, alone, _, _ in quadruples], split, case.stored)
    if labels is None or setting is None or len(labels) != len(setting):
        return None
    return [weight * one - other for one, other in zip(labels, setting, strict=True)]
