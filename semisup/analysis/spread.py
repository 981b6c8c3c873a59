"""Compute the mean and spread of values over the seeds and cross-validation folds of runs."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from semisup.analysis.runs import Run

Replicate = tuple[int, int]
"""Seed and cross-validation fold of a run; the fold is -1 without cross-validation."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; the deviation of a single value is None."""

    mean: float
    deviation: float | None
    count: int


def summarize(values: Iterable[float | None]) -> Spread | None:
    """Compute the mean and spread of the values that are not None; return None if all values are None."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    return Spread(statistics.fmean(present), statistics.stdev(present) if len(present) > 1 else None, len(present))


def over_seeds(runs: Iterable[Run], split: str) -> Spread | None:
    """Compute mean and spread of the accuracy, or balanced accuracy, over seeds.

    Several runs with the same seed are averaged first.
    """
    return _over_replicates(runs, lambda run: run.score(split))


def mean_validation_score(runs: Iterable[Run]) -> float:
    """Average the validation scores of runs over seeds; -inf if no run has one. Higher is better.

    Several runs with the same seed are averaged first.
    """
    value = _over_replicates(runs, lambda run: run.validation_score)
    return value.mean if value else -math.inf


def _over_replicates(runs: Iterable[Run], value: Callable[[Run], float | None]) -> Spread | None:
    by_seed: dict[Replicate, list[float | None]] = defaultdict(list)
    for run in {run.id: run for run in runs}.values():
        by_seed[run.replicate].append(value(run))
    means = [summarize(values) for values in by_seed.values()]
    return summarize(spread.mean for spread in means if spread)
