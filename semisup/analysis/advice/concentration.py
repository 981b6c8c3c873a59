"""Check whether the selected pseudo-labels concentrate on few classes.

Let s_k be the share of class k among the selected pseudo-labels of the last labeling, and v_k its share among the
validation images. The distance between the two is the total variation distance, in [0, 1]:

    distance = sum over k of max(0, s_k - v_k)

There is a finding under two conditions. The mean distance over the seeds is at least 0.25 (MIN_DISTANCE). In every
seed, a chi-square test rejects at 0.1 % (MAX_P) that the pseudo-labels and the validation images have the same
proportions. The named classes are those with the largest s_k - v_k that together explain half of the distance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes four times as long to import

from semisup.analysis.advice.case import Case, NoFinding
from semisup.analysis.pseudo_label_history import read_label_history
from semisup.analysis.rows import Row
from semisup.analysis.run_history import class_names, confusion_matrix, last_class_rows
from semisup.analysis.runs import Run

NAME = "concentration of the pseudo-labels on classes"
MIN_DISTANCE = 0.25
MAX_P = 0.001
EXPLAINED = 0.5
MIN_SELECTED_PER_CLASS = 5
"""Fewest selected pseudo-labels per class (on average) for which the chi-square test is used."""

Counts = NDArray[numpy.float64]


class Concentration(NamedTuple):
    """Classes that are more frequent among the selected pseudo-labels than among the validation images.

    row: the runs of the best setting
    classes: names of the classes, most over-represented first
    selected: total share of `classes` among the selected pseudo-labels, in [0, 1]; mean over the seeds
    labeled: the same among the pseudo-labels of all unlabeled images; None if unknown
    validation: the same among the validation images
    distance: total variation distance between the class shares of selected pseudo-labels and validation images; mean
        over the seeds
    p_value: largest p-value over the seeds, of the test that these class shares are equal
    images: number of selected pseudo-labels, mean over the seeds
    """

    row: Row
    classes: tuple[str, ...]
    selected: float
    labeled: float | None
    validation: float
    distance: float
    p_value: float
    images: float


class _ClassCounts(NamedTuple):
    """Class histograms of one run: the number of images of each class in three sets of images.

    names: names of the K classes
    selected: (K,) counts of the selected pseudo-labels
    labeled: (K,) counts of the pseudo-labels of all unlabeled images
    validation: (K,) counts of the true classes of the validation images
    """

    names: tuple[str, ...]
    selected: Counts
    labeled: Counts  # zeros if unknown, in runs of version 0.1.0
    validation: Counts


def check_concentration(case: Case) -> Concentration | NoFinding:
    """Check whether the best setting selects some classes more often than they occur in the validation set."""
    row = case.comparison.best
    if row is None or not row.controls:
        return NoFinding(NAME, "a finished run that uses unlabeled images")
    counts = [each for run in row.runs if (each := _class_counts(run)) is not None]
    if len(counts) < len(row.runs) or len({each.names for each in counts}) > 1:
        return NoFinding(NAME, "the classes of the last labeling and of the validation images")
    names = counts[0].names
    if min(each.selected.sum() for each in counts) < MIN_SELECTED_PER_CLASS * len(names):
        return NoFinding(NAME, f"{MIN_SELECTED_PER_CLASS * len(names)} selected pseudo-labels")
    selected, labeled, validation = (_mean_shares(part) for part in list(zip(*counts, strict=True))[1:])
    excess = numpy.maximum(selected - validation, 0)
    p_value = max(same_proportions(each.selected, each.validation) for each in counts)
    if excess.sum() < MIN_DISTANCE or p_value > MAX_P:
        return NoFinding(NAME)
    order = numpy.argsort(-excess, kind="stable")
    count = int(numpy.searchsorted(excess[order].cumsum(), EXPLAINED * excess.sum())) + 1
    over = order[:count]
    return Concentration(
        row=row,
        classes=tuple(names[at] for at in over),
        selected=float(selected[over].sum()),
        labeled=float(labeled[over].sum()) if labeled.any() else None,
        validation=float(validation[over].sum()),
        distance=float(excess.sum()),
        p_value=p_value,
        images=float(numpy.mean([each.selected.sum() for each in counts])),
    )


def same_proportions(one: Counts, other: Counts) -> float:
    """Compute the p-value of the chi-square test that two samples of images have the same class proportions.

    Args:
        one, other: (K,) number of images of each class in each sample; a class that occurs in neither is ignored.
    """
    table = numpy.stack([one, other])[:, (one + other) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    return float(special.chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))


def _class_counts(run: Run) -> _ClassCounts | None:
    names = class_names(run.folder)
    confusion = confusion_matrix(run, "validation", len(names)) if names else None
    if confusion is None:
        return None
    by_class = {row["class"]: (row["kept"], row["labeled"]) for row in last_class_rows(run.folder)}
    if not by_class:  # written since version 0.2.0
        rounds = read_label_history(run.folder, 0).rounds
        by_class = dict.fromkeys(names, (0, None)) | {
            name: (count, None) for name, count in (rounds[-1].selected_by_class.items() if rounds else ())
        }
    if set(by_class) != set(names):
        return None
    selected, labeled = (numpy.array([by_class[name][place] or 0 for name in names], float) for place in (0, 1))
    return _ClassCounts(tuple(names), selected, labeled, numpy.array(confusion, float).sum(axis=1))


def _mean_shares(counts: Sequence[Counts]) -> Counts:
    means: Counts = numpy.mean([each / max(each.sum(), 1) for each in counts], axis=0)
    return means
