"""Estimate how often a smaller validation set would have selected the same setting of a sweep.

Smaller validation sets are drawn many times, with at most n images of each class, without replacement. All runs with
the same seed are evaluated on the same images. In every draw, the setting with the best mean accuracy over the seeds is
selected (or with the best mean balanced accuracy, if settings are ranked by it). The model of each run was selected on
the whole validation set, so the estimates are slightly too high.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from semisup.analysis.runs import ACCURACY, BALANCED_ACCURACY, Run
from semisup.analysis.stored_predictions import SplitPredictions, StoredPredictions, accuracy_divisors

IMAGES_PER_CLASS = (4, 10, 25)
DRAWS = 1000
"""Number of draws; with this many, the standard error of a share is at most 1.6 percentage points."""

MAX_KEYS = 4_000_000
"""Maximum number of random numbers in memory at once."""


class SelectionStability(NamedTuple):
    """How often smaller validation sets select the same setting as the whole validation set.

    per_class: largest number of images of each class in the smaller sets
    share: share of the draws that select the same setting, in [0, 1]
    """

    per_class: int
    share: float


def selection_stability(
    cells: Sequence[Sequence[Run]], selected: int, stored: StoredPredictions
) -> tuple[SelectionStability, ...]:
    """Estimate how often smaller, randomly drawn validation sets select the same setting as the whole validation set.

    Args:
        cells: for each setting, its runs, one for each seed. If several settings are equally good, the first is
            selected.
        selected: index of the setting that the whole validation set selected.
        stored: cache of stored predictions.

    Returns:
        One entry for each number in IMAGES_PER_CLASS that is smaller than the number of images of the largest class.
        () if there is a single setting, if a run stored no predictions, or if runs are ranked neither by accuracy nor
        by balanced accuracy.
    """
    ranked_by = {run.select_by for runs in cells for run in runs}
    if not ranked_by <= {ACCURACY, BALANCED_ACCURACY}:
        return ()
    groups: dict[tuple[int | None, int], list[tuple[int, SplitPredictions]]] = {}
    for cell, runs in enumerate(cells):
        for run in runs:
            predictions = stored.of(run, "validation")
            if predictions is None:
                return ()
            groups.setdefault((run.seed, predictions.images), []).append((cell, predictions))
    largest = max((int(numpy.bincount(group[0][1].targets).max()) for group in groups.values()), default=0)
    sizes = [size for size in IMAGES_PER_CLASS if size < largest]
    if len(cells) < 2 or not sizes:
        return ()
    accuracy = numpy.zeros((len(sizes), len(cells), DRAWS))
    for number, group in enumerate(groups.values()):
        correct = numpy.array([predictions.correct for _, predictions in group], dtype=numpy.float32)
        seeds = numpy.array([len(cells[cell]) for cell, _ in group])[:, None]
        for size, draws, drawn in _iter_draws(group[0][1].targets, sizes, number):
            if ranked_by == {BALANCED_ACCURACY}:
                weights = (1 / accuracy_divisors(group[0][1].targets, sizes[size])).astype(numpy.float32)
                share = correct @ (weights * drawn).T / seeds
            else:
                share = (correct @ drawn.T) / drawn[0].sum() / seeds
            accuracy[size, [cell for cell, _ in group], draws] += share
    best = accuracy.round(9).argmax(axis=1)  # rounded: sums of equal accuracies in another order are ties
    shares = (best == selected).mean(axis=1).tolist()
    return tuple(SelectionStability(size, share) for size, share in zip(sizes, shares, strict=True))


def _iter_draws(
    targets: NDArray[numpy.int64], sizes: Sequence[int], number: int
) -> Iterator[tuple[int, slice, NDArray[numpy.float32]]]:
    """Draw smaller sets of images at random: in each draw, one set for each size.

    In each draw, a set with fewer images per class is a subset of one with more.

    Args:
        targets: (n,) true classes.
        sizes: for each set, the largest number of images of a class.
        number: seed of the random draws.

    Yields:
        (index, draws, drawn) for each size and each block of draws. index: index of the size in `sizes`. draws: the
        indices of the draws in this block, as a slice. drawn: (number of these draws, n), 1 = the image is drawn, 0 =
        it is not.
    """
    generator = numpy.random.Generator(numpy.random.Philox(key=[number, 0]))
    members = [numpy.flatnonzero(targets == each) for each in numpy.unique(targets)]
    step = max(1, MAX_KEYS // len(targets))
    for start in range(0, DRAWS, step):
        draws = slice(start, min(start + step, DRAWS))
        count = draws.stop - start
        drawn = numpy.zeros((len(sizes), count, len(targets)), dtype=numpy.float32)
        for images in members:
            keys = generator.random((count, len(images)))
            smaller = [size for size in sizes if size < len(images)]
            order = keys.argpartition([size - 1 for size in smaller], axis=1) if smaller else None
            for place, size in enumerate(sizes):
                chosen = images[order[:, :size]] if order is not None and size < len(images) else images[None]
                numpy.put_along_axis(drawn[place], chosen + numpy.zeros((count, 1), dtype=numpy.int64), 1.0, axis=1)
        for place in range(len(sizes)):
            yield place, draws, drawn[place]
