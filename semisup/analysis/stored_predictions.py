"""Read the stored predictions of finished runs on their validation and test images, once for each run."""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from semisup.analysis.run_history import class_names, iter_predictions
from semisup.analysis.runs import ACCURACY, Run
from semisup.errors import RecordError
from semisup.record.probabilities import Probabilities, read_probabilities


@dataclass(frozen=True)
class SplitPredictions:
    """Predictions of one run for the n images of one split whose class is known, sorted by path.

    images: id of the set of images; it is equal in runs with the same images
    targets: (n,) indices of the true classes; a class name has the same index in all runs
    correct: (n,) whether the predicted class is the true class
    lines: (n,) index of each image's line in predictions.csv, from 0
    """

    images: int
    targets: NDArray[numpy.int64]
    correct: NDArray[numpy.bool_]
    lines: NDArray[numpy.int64]

    def weights(self, measure: str) -> NDArray[numpy.float64]:
        """Compute the weight of each image, (n,) with mean 1, so that the mean of weight * correct is `measure`.

        Args:
            measure: ACCURACY (every weight is 1) or BALANCED_ACCURACY (the weights of each class have the same sum).
        """
        if measure == ACCURACY:
            return numpy.ones(len(self.targets))
        return len(self.targets) / accuracy_divisors(self.targets)


def accuracy_divisors(targets: NDArray[numpy.int64], most: int | None = None) -> NDArray[numpy.int64]:
    """Compute the divisor of each image in the balanced accuracy, (n,).

    d_i = (number of classes with images) * (number of images of the class of image i). The balanced accuracy of n
    images is the sum of correct_i / d_i.

    Args:
        targets: (n,) indices of the true classes.
        most: largest number of images of each class of which the accuracy is computed; None = all images.
    """
    counts = numpy.bincount(targets)
    of_class = counts if most is None else numpy.minimum(counts, most)
    divisors: NDArray[numpy.int64] = (counts > 0).sum() * of_class[targets]
    return divisors


class StoredPredictions:
    """Cache of the predictions that runs stored in predictions.csv."""

    def __init__(self) -> None:
        self._splits: dict[str, dict[str, SplitPredictions]] = {}
        self._line_counts: dict[str, int] = {}
        self._image_sets: dict[tuple[str, ...], int] = {}
        self._classes: dict[str, int] = {}

    def of(self, run: Run, split: str) -> SplitPredictions | None:
        """Return a run's predictions on its `validation` or `test` images; None if the run stored none."""
        key = str(run.folder)
        if key not in self._splits:
            self._splits[key] = self._read(run)
        return self._splits[key].get(split)

    def probabilities(self, run: Run, split: str) -> tuple[list[int], Probabilities] | None:
        """Read the class probabilities that a run stored for its `validation` or `test` images.

        Returns:
            (classes, probabilities). classes: index of each of the K classes, as in `SplitPredictions.targets`.
            probabilities: (n, K) float32; the images are in the order of `of(run, split)`.
            The result is None if the run stored no probabilities, or if the file is damaged.
        """
        predictions, names = self.of(run, split), class_names(run.folder)
        if predictions is None:
            return None
        try:
            stored = read_probabilities(run.folder, self._line_counts[str(run.folder)], len(names))
        except RecordError:
            return None
        return None if stored is None else ([self._class(name) for name in names], stored[predictions.lines])

    def _read(self, run: Run) -> dict[str, SplitPredictions]:
        by_split: dict[str, dict[str, tuple[int, bool, int]]] = {}
        for line, split, prediction in iter_predictions(run.folder):
            self._line_counts[str(run.folder)] = line + 1
            if prediction is not None:
                correct = prediction.predicted == prediction.target
                by_split.setdefault(split, {})[prediction.path] = self._class(prediction.target), correct, line
        return {split: self._sorted(images) for split, images in by_split.items()}

    def _sorted(self, images: dict[str, tuple[int, bool, int]]) -> SplitPredictions:
        paths = tuple(sorted(images))
        targets, correct, lines = zip(*(images[path] for path in paths), strict=True)
        number = self._image_sets.setdefault(paths, len(self._image_sets))
        return SplitPredictions(number, numpy.array(targets), numpy.array(correct), numpy.array(lines))

    def _class(self, name: str) -> int:
        return self._classes.setdefault(name, len(self._classes))
