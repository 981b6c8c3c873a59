"""Evaluate an ensemble on the test set: the mean of the class probabilities of runs that differ only in the seed."""

from collections.abc import Sequence

import numpy

from semisup.analysis.runs import Run
from semisup.analysis.stored_predictions import StoredPredictions


def ensemble_accuracy(runs: Sequence[Run], stored: StoredPredictions) -> float | None:
    """Compute the test accuracy of an ensemble, which averages the class probabilities of several runs.

    Returns:
        The accuracy in [0, 1]; the balanced accuracy if the runs are ranked by it. None if there are fewer than two
        runs, if two runs have the same seed, if the runs have different test images or classes, or if a run stored no
        probabilities.
    """
    if len(runs) < 2 or len({run.seed for run in runs}) < len(runs):
        return None
    first = stored.of(runs[0], "test")
    if first is None:
        return None
    total, order = numpy.zeros(0), None
    for run in runs:
        predictions = stored.of(run, "test")
        if predictions is None or predictions.images != first.images:
            return None
        if (predictions.targets != first.targets).any() or (read := stored.probabilities(run, "test")) is None:
            return None
        classes, probabilities = read
        if order is None:
            order, total = classes, numpy.zeros(probabilities.shape)
        elif classes != order:
            return None
        total += probabilities
    assert order is not None
    correct = numpy.array(order)[total.argmax(axis=1)] == first.targets
    return float((first.weights(runs[0].measure) * correct).mean())
