"""Find given labels that look wrong, by confident learning (arXiv 1911.00068) with cleanlab.

Confident learning compares each label with class probabilities. The run's own model was trained on the labels, so it
would agree with wrong ones. Therefore the probabilities come from logistic regression on the embeddings with
cross-validation: a label is judged by a fit to other images. The embeddings of a trained network contain information
from the labels, so wrong labels are harder to find than with a frozen encoder.
"""

import warnings
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from semisup.errors import SettingError
from semisup.labeling.unit_rows import unit_rows

FOLDS = 5
INVERSE_PENALTY = 10.0
"""C of the logistic regression on embeddings of unit length."""

MAX_ITERATIONS = 1000
INSTALL = "needs cleanlab: pip install 'semisup[label]'; or leave out this check with --no-check-labels"

Floats = NDArray[numpy.float64]
Integers = NDArray[numpy.int64]


class LabelIssues(NamedTuple):
    """The m labels that look wrong, most suspicious first.

    rows: (m,) indices of the images in the labeled set
    suggested: (m,) class with the largest probability
    confidence: (m,) probability of the suggested class, in [0, 1]
    quality: (m,) probability of the given class, in [0, 1]
    skipped: number of images that were not judged, because their class has no other labeled image
    """

    rows: Integers
    suggested: Integers
    confidence: Floats
    quality: Floats
    skipped: int


def require_cleanlab() -> None:
    """Raise SettingError unless cleanlab is installed."""
    try:
        import cleanlab.filter  # noqa: F401
    except ImportError:
        raise SettingError("--check-labels", True, INSTALL) from None


def find_label_issues(embeddings: NDArray[Any], targets: Integers, num_classes: int) -> LabelIssues:
    """Find the labels that are probably wrong, by comparing them with cross-validated class probabilities.

    Args:
        embeddings: (n, D), one row for each labeled image.
        targets: (n,) the given classes, in [0, num_classes).

    Returns:
        The labels that confident learning counts as errors, sorted by the probability of the given class, lowest first.
    """
    from cleanlab.filter import find_label_issues as confident_learning

    counts = numpy.bincount(targets, minlength=num_classes)
    judged = numpy.flatnonzero(counts[targets] > 1)
    skipped = len(targets) - len(judged)
    present = numpy.unique(targets[judged])
    if len(present) < 2:
        none = numpy.zeros(0)
        return LabelIssues(none.astype(numpy.int64), none.astype(numpy.int64), none, none, len(targets))
    given = numpy.searchsorted(present, targets[judged])
    probabilities = cross_validated_probabilities(embeddings[judged], given, len(present))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cleanlab, about classes in which it finds no error
        rows = confident_learning(given, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    own = probabilities[rows]
    suggested = present[own.argmax(axis=1)]
    return LabelIssues(judged[rows], suggested, own.max(axis=1), probabilities[rows, given[rows]], skipped)


def cross_validated_probabilities(
    embeddings: NDArray[Any], targets: Integers, num_classes: int, seed: int = 0
) -> Floats:
    """Compute class probabilities, (n, num_classes), by cross-validation of logistic regression.

    Args:
        embeddings: (n, D), one row for each image.
        targets: (n,) classes in [0, num_classes), each with at least two images.
        seed: seed of the folds.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    points, folds = unit_rows(embeddings), stratified_folds(targets, seed)
    probabilities = numpy.zeros((len(targets), num_classes))
    with threadpool_limits(1), warnings.catch_warnings():  # another number of threads changes the last bits
        warnings.simplefilter("ignore", ConvergenceWarning)
        for fold in range(folds.max() + 1):
            held_out = folds == fold
            model: Any = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS)
            model.fit(points[~held_out], targets[~held_out])
            probabilities[numpy.ix_(held_out, model.classes_)] = model.predict_proba(points[held_out])
    return probabilities


def stratified_folds(targets: Integers, seed: int) -> Integers:
    """Assign each image to a fold, with the images of each class spread over the folds.

    A class with at least two images has images in at least two folds. The sizes of the folds differ by at most one.

    Returns:
        (n,) int64, index of the fold of each image, from 0.
    """
    order = numpy.random.default_rng(seed).permutation(len(targets))
    by_class = order[numpy.argsort(targets[order], kind="stable")]
    folds = numpy.empty(len(targets), numpy.int64)
    folds[by_class] = numpy.arange(len(targets)) % min(FOLDS, len(targets))
    return folds
