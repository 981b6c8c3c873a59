"""Check whether the unlabeled set contains images that belong to none of the classes.

A score such as the confidence separates images of the classes from other images, but not completely. Let v be the
share of the validation images whose score reaches a limit, and u that of the unlabeled images. If a share p of the
unlabeled images belong to no class, and the others have the same scores as the validation images, then
u >= (1 - p) * v, so that

    p >= share = 1 - u / v

The validation images and the unlabeled images are independent samples. Therefore the squared standard error of the
mean of log(u / v) over the seeds is

    se^2 = (1 - u) / (u * unlabeled images) + (1 - v) / (v * validation images) + variance over seeds / seeds

There is a finding if the lower limit, 1 - (u / v) * exp(1.96 * se), exceeds a margin. The margin is needed because the
classes can have other proportions in the unlabeled set. Two kinds of scores are tried in this order:

    reject      the scores of the last labeling of runs with `reject.keep`; v = keep. Runs with `reject=knn` come first,
                because its scores separate the images best (docs/open_set.md). The margin is (1 - v) / v: if a
                class is twice as frequent in the unlabeled set, 1 - u / v can be this large although every image
                belongs to a class
    confidence  the threshold curves of offline methods, which predict both sets of images with the same model. The
                limit is the threshold that about half of the validation images reach. The first labeling at which the
                model has 80 % of its best accuracy is used, because later the model has been trained to be confident
                about the unlabeled images. The margin is 0.15 (docs/advice.md)

The confidences of online methods are not used, because they were computed at other steps than the evaluation. Those of
runs with `labeler.teachers` or debiasing are not used either: the unlabeled images then have the mean probabilities of
several labelings, or another correction than the validation images.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from semisup.analysis.advice.case import Case, NoFinding, image_count
from semisup.analysis.run_history import read_threshold_curves
from semisup.analysis.runs import Run, as_number
from semisup.config import registry
from semisup.method import OnlineMethod
from semisup.record.curves import POOL, VALIDATION

NAME = "unlabeled images that belong to none of the classes"
Z = 1.96
MARGIN = 0.15
"""Smallest lower limit for a finding by confidences. It allows for other proportions of the unlabeled classes."""

ENOUGH_ACCURACY = 0.8
"""Confidences of a model are used from this part of the run's best validation accuracy on."""

HALF = (0.4, 0.6)
"""Allowed share of the validation images that reach the threshold."""


class Reached(NamedTuple):
    """Shares of the validation images and of the unlabeled images whose score reaches a limit, in one run.

    limit: limit of the confidence; None if the score is that of `reject`, whose limit is not needed
    validation, unlabeled: share of the validation images and of the unlabeled images, in [0, 1]
    validation_images, unlabeled_images: number of images in each set
    """

    limit: float | None
    validation: float
    unlabeled: float
    validation_images: int
    unlabeled_images: int


class OutOfClass(NamedTuple):
    """Finding that the unlabeled set seems to contain images that belong to none of the classes.

    share: estimated share of these images in the unlabeled set, in [0, 1]; it is too low if some of them reach the
        limit of the score
    lowest: lower confidence limit of the share
    score: the score that was compared, `reject` or `confidence`
    mean: limit and shares, as means over the seeds, and the smallest numbers of images
    run: one of the runs from which the share was estimated
    seeds: number of runs, of different seeds
    """

    share: float
    lowest: float
    score: str
    mean: Reached
    run: Run
    seeds: int


def check_out_of_class(case: Case) -> OutOfClass | NoFinding:
    """Check whether a smaller share of the unlabeled images than of the validation images reaches a score limit."""
    for score, read in (("reject", _by_knn), ("reject", _by_reject), ("confidence", _by_confidence)):
        runs = _first_of_each_seed(case, read)
        if runs:
            values = [each for _, each in runs]
            share, lowest, mean = estimate_share(values)
            margin = (1 - mean.validation) / mean.validation if score == "reject" else MARGIN
            if lowest <= margin:
                return NoFinding(NAME)
            return OutOfClass(share, lowest, score, mean, runs[0][0], len(runs))
    needed = "a run of self_training or noisy_student with one teacher and without debiasing, or with reject.keep"
    return NoFinding(NAME, needed)


def estimate_share(values: Sequence[Reached]) -> tuple[float, float, Reached]:
    """Estimate the share of unlabeled images that belong to no class, from one run of each seed.

    Returns:
        The estimate, its lower limit, and the mean of `values`.
    """
    logs = [math.log(max(each.unlabeled, 0.5 / each.unlabeled_images) / each.validation) for each in values]
    mean = Reached(
        None if values[0].limit is None else statistics.fmean(each.limit or 0.0 for each in values),
        statistics.fmean(each.validation for each in values),
        statistics.fmean(each.unlabeled for each in values),
        min(each.validation_images for each in values),
        min(each.unlabeled_images for each in values),
    )
    variance = _relative_variance(mean.unlabeled, mean.unlabeled_images)
    variance += _relative_variance(mean.validation, mean.validation_images)
    variance += statistics.variance(logs) / len(logs) if len(logs) > 1 else 0.0
    ratio = statistics.fmean(logs)
    return 1 - math.exp(ratio), 1 - math.exp(ratio + Z * math.sqrt(variance)), mean


def _relative_variance(share: float, images: int) -> float:
    """Compute the variance of the logarithm of a share that was measured on `images` images."""
    share = max(share, 0.5 / images)
    return (1 - share) / (share * images)


def _first_of_each_seed(case: Case, read: Callable[[Run], Reached | None]) -> list[tuple[Run, Reached]]:
    """For each seed, read the scores of one run: of the runs that have scores, the one of the best setting.

    Settings are ordered by validation accuracy; only those that use unlabeled images count.

    Args:
        read: function that reads the scores of a run, and returns None if the run has none.
    """
    values: dict[tuple[int, int], tuple[Run, Reached]] = {}
    for row in case.comparison.rows:
        for run in row.runs if row.controls else ():
            if run.replicate not in values and (each := read(run)) is not None:
                values[run.replicate] = run, each
    return [values[replicate] for replicate in sorted(values)]


def _by_knn(run: Run) -> Reached | None:
    """Do the same as `_by_reject`, but only for runs with `reject=knn`."""
    return _by_reject(run) if (run.config.get("reject") or {}).get("name") == "knn" else None


def _by_reject(run: Run) -> Reached | None:
    """Read the share of unlabeled images that the last labeling accepted; None for a run without `reject.keep`."""
    node = run.config.get("reject")
    keep = as_number(node.get("keep")) if isinstance(node, dict) else None
    rejected = run.number("pseudo/rejected")
    images = _image_counts(run)
    if keep is None or rejected is None or images is None or not 0 < keep <= 1 or not 0 <= rejected <= 1:
        return None
    return Reached(None, keep, 1 - rejected, *images)


def _by_confidence(run: Run) -> Reached | None:
    """Read from what_if.csv which share of the validation images and of the unlabeled images reach a confidence limit.

    The limit is a threshold that about half of the validation images reach.

    Returns:
        The shares. None if the unlabeled images were not predicted as the validation images (methods that label a batch
        at every step, several teachers, debiasing), or if the file has no suitable labeling.
    """
    images, best = _image_counts(run), run.accuracy("validation")
    method = registry.settings_class("method", run.config["method"]["name"])
    debias, labeler = run.config.get("debias") or {}, run.config.get("labeler") or {}
    same_predictions = debias.get("name", "none") == "none" and labeler.get("teachers", 1) == 1
    if images is None or best is None or issubclass(method, OnlineMethod) or not same_predictions:
        return None
    curves = read_threshold_curves(run.folder)
    validation = {curve.step: curve for curve in curves if curve.split == VALIDATION}
    for curve in curves:
        same = validation.get(curve.step)
        if curve.split != POOL or same is None or not same.accuracy or same.accuracy[0][1] < ENOUGH_ACCURACY * best:
            continue
        unlabeled = dict(curve.coverage)
        tau, share = min(same.coverage, key=lambda pair: abs(pair[1] - 0.5))
        if HALF[0] <= share <= HALF[1] and tau in unlabeled:
            return Reached(tau, share, unlabeled[tau], *images)
    return None


def _image_counts(run: Run) -> tuple[int, int] | None:
    validation, unlabeled = image_count(run, "validation"), image_count(run, "unlabeled")
    return None if validation is None or unlabeled is None else (validation, unlabeled)
