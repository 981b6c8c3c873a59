"""Check whether the validation set is large enough to distinguish the best setting from the second best.

For each validation image, let d be the correctness of the best setting minus that of the second best (1, 0 or -1),
averaged over the seeds that have this image; if settings are ranked by balanced accuracy, d is multiplied by the weight
of the image (`stored_predictions.py`). For n images that all seeds share

    difference = mean of d          standard error = standard deviation of d / sqrt(n)

If the seeds have different validation images, the difference is computed for each set of images, and these differences
are averaged, weighted by the number of seeds with this set.

The user is advised to use more validation images if the difference is smaller than Z = 1.96 standard errors. There is
no advice if d is 0 for all images: more images would not distinguish settings that give the same results. To detect a
difference of this size, n * (Z * standard error / difference)^2 images would be needed.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from semisup.analysis.advice.case import Case, NoFinding
from semisup.analysis.rows import Row
from semisup.analysis.runs import ACCURACY, BALANCED_ACCURACY, Run
from semisup.analysis.stored_predictions import StoredPredictions

NAME = "size of the validation set"
Z = 1.96


class PairedDifference(NamedTuple):
    """Difference between the accuracies of two settings on the same validation images, in [-1, 1].

    images: number of different images
    standard_error: standard error of the difference
    """

    difference: float
    standard_error: float
    images: int

    @property
    def distinguished(self) -> bool:
        """Whether the absolute difference is larger than 1.96 standard errors."""
        return abs(self.difference) > Z * self.standard_error

    @property
    def identical(self) -> bool:
        """Whether the two settings are equally correct on every image."""
        return self.difference == 0 and self.standard_error == 0


class ValidationSize(NamedTuple):
    """Finding of the check: the validation set is too small to distinguish the best two settings.

    best, second: runs of the settings with the best and the second best validation accuracy
    gap: difference between the accuracies of the two
    needed: number of validation images with which this difference would be detected; None if `best` is not more
        accurate than `second`
    others: number of settings besides the best
    equal: number of these settings that are not distinguished from the best
    """

    best: Row
    second: Row
    gap: PairedDifference
    needed: int | None
    equal: int
    others: int


def check_validation_size(case: Case) -> ValidationSize | NoFinding:
    """Check whether the validation set is large enough to tell the best setting from the others.

    The predictions of two settings for each validation image are compared.
    """
    rows = [row for row in case.comparison.rows if row.controls] or case.comparison.rows
    if len(rows) < 2:
        return NoFinding(NAME, "two settings")
    if case.comparison.select_by not in (ACCURACY, BALANCED_ACCURACY):
        return NoFinding(NAME, "settings that are ranked by accuracy or balanced accuracy")
    best, *others = rows
    gaps = [paired_difference(best.runs, row.runs, case.stored) for row in others]
    differing = [(row, gap) for row, gap in zip(others, gaps, strict=True) if gap is None or not gap.identical]
    if not differing:
        return NoFinding(NAME)
    second, gap = differing[0]
    if gap is None:
        return NoFinding(NAME, "predictions on the same validation images for the best two settings")
    if gap.distinguished:
        return NoFinding(NAME)
    needed = math.ceil(gap.images * (Z * gap.standard_error / gap.difference) ** 2) if gap.difference > 0 else None
    equal = sum(each is not None and not each.distinguished for each in gaps)
    return ValidationSize(best, second, gap, needed, equal, len(others))


def paired_difference(best: Sequence[Run], second: Sequence[Run], stored: StoredPredictions) -> PairedDifference | None:
    """Compute the difference between two settings in validation accuracy, and its standard error over images.

    Args:
        best, second: runs of the two settings.
        stored: predictions of the runs.

    Returns:
        None if the settings do not have the same seeds, or if the two runs of a seed do not have predictions for the
        same images.
    """
    partners = {run.replicate: run for run in second}
    if {run.replicate for run in best} != set(partners):
        return None
    by_images: dict[int, list[NDArray[numpy.float64]]] = defaultdict(list)
    for run in best:
        one, other = (stored.of(each, "validation") for each in (run, partners[run.replicate]))
        if one is None or other is None or one.images != other.images:
            return None
        by_images[one.images].append(one.weights(run.measure) * (one.correct.astype(float) - other.correct))
    difference, variance, images = 0.0, 0.0, 0
    for values in by_images.values():
        of_image, weight = numpy.mean(values, axis=0), len(values) / len(best)
        if len(of_image) < 2:
            return None
        difference += weight * float(of_image.mean())
        variance += weight**2 * float(of_image.var(ddof=1)) / len(of_image)
        images += len(of_image)
    return PairedDifference(difference, math.sqrt(variance), images)
