"""Confidence intervals of the gain of a cell (the runs of a sweep that differ only in seed and fold).

The gain is the mean of paired differences: accuracy of a run minus that of its reference run of the same seed, in
percentage points. There are two intervals: for one cell that was named before its runs were evaluated, and for the
best cell of a sweep.

One cell that was named in advance (`paired_interval`). The differences of S seeds vary because seeds differ, and
because the I test images are a sample. Let s2_seed be the variance of the S differences. Let s2_image be the variance
of the I image means: for each image, the difference in correctness, averaged over the seeds.

    se^2 = a + b          where a = s2_seed / S and b = s2_image / I
    nu   = (a + b)^2 / (a^2 / (S - 1) + b^2 / (I - 1))                       Satterthwaite 1946
    mean -+ t(nu, 97.5 %) * se

Both variances contain the residual variance, so their sum counts it twice, and the interval is at most slightly too
wide. If the seeds draw their own test images, s2_seed already contains the variance between images, and b = 0.

The best of C cells (`chosen_interval`). The largest of C estimates tends to be too large, so the interval is valid for
all cells at once (single-step, as Dunnett 1955): mean -+ q * s / sqrt(S). Here s is the standard deviation of this
cell or the pooled standard deviation of all cells (seeds as blocks), whichever is larger. q is the 95 % quantile of
the largest |t| over the cells. It is simulated with the correlation between the gains of different cells, which have
the same reference runs.

Folds (`overlap`). There are J differences, one for each fold and seed. Each is measured on labels that the runs of the
other folds train on. So they are not independent, and s2_seed / J is too small a variance for their mean. Nadeau and
Bengio (2003, "Inference for the Generalization Error", Machine Learning 52:239-281, section 5) take
n_test / (n_test + n_train) as the correlation of two differences. With folds, the interval therefore uses

    a = s2_seed * (1 / J + n_test / n_train)

With K folds n_test / n_train = 1 / (K - 1). In the paper, the J differences come from random splits into training and
test data. Bouckaert and Frank (2004, "Evaluating the Replicability of Significance Tests for Comparing Learning
Algorithms") use the same variance for repeated K folds.

A percentile bootstrap over 3 to 10 seeds gives intervals that are too narrow, so it is not used. `docs/statistics.md`
states the assumptions, and shows a simulation of how often each interval misses the true gain.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes four times as long to import

LEVEL = 0.95
"""Coverage probability of every interval; the intervals are two-sided."""

POWER = 0.8
"""Statistical power for which `seeds_needed` computes the number of seeds."""

MAX_SEEDS = 1000
MAX_DEGREES = 10_000.0
"""With more degrees of freedom, Student's t distribution is treated as that with this number."""

SIMULATIONS = 20_000
"""Number of simulated values of the largest |t|. With this number, the error of the 95 % quantile is about 1 %."""

Matrix = NDArray[numpy.float64]


class Interval(NamedTuple):
    """A mean gain with its confidence interval.

    mean, low, high: the mean and the limits of the interval, in percentage points
    standard_error, degrees_of_freedom: standard error of the mean, and degrees of freedom of its t distribution
    deviation: sample standard deviation over seeds
    seeds: number of averaged differences, one for each pair of seed and fold
    cells: number of settings from which the best was chosen; the interval is corrected for this choice (1 = no choice)
    """

    mean: float
    low: float
    high: float
    standard_error: float
    degrees_of_freedom: float
    deviation: float
    seeds: int
    cells: int = 1


def paired_interval(
    differences: Sequence[float], image_means: Sequence[float] | None = None, overlap: float = 0.0
) -> Interval | None:
    """Compute the confidence interval of a gain from the accuracy differences between runs and reference runs.

    Args:
        differences: S numbers, one per seed: accuracy of the run minus that of its reference run, in percentage points.
        image_means: I numbers, one per test image: the difference in correctness on this image, averaged over the
            seeds, in percentage points (100 = the run is always correct and the reference run never). None if the seeds
            draw their own test images, or the predictions are not known.
        overlap: n_test / n_train of the cross-validation folds; 0 = no folds, so that the differences are independent.

    Returns:
        None for fewer than two seeds, which give no standard deviation.
    """
    values = numpy.asarray(differences, dtype=numpy.float64)
    count = len(values)
    if count < 2:
        return None
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    of_seeds, of_images = deviation**2 * (1 / count + overlap), _image_variance(image_means)
    degrees = float(count - 1)
    if image_means is not None and of_images:
        parts = of_seeds**2 / (count - 1) + of_images**2 / (len(image_means) - 1)
        degrees = (of_seeds + of_images) ** 2 / parts if parts else degrees
    error = math.sqrt(of_seeds + of_images)
    reach = _t_quantile(degrees) * error
    return Interval(mean, mean - reach, mean + reach, error, degrees, deviation, count)


def chosen_interval(
    gains: Sequence[Sequence[float]], chosen: int, image_means: Sequence[float] | None = None, overlap: float = 0.0
) -> Interval | None:
    """Compute the confidence interval of the gain of the best of several settings, corrected for the choice.

    Args:
        gains: C rows of S numbers: the gain of each setting with each seed, in percentage points. All rows have the
            seeds in the same order.
        chosen: index of the row of the best setting.
        image_means, overlap: values of the best setting, as in `paired_interval`.

    Returns:
        The interval of the best setting; None for fewer than two seeds. The probability is 95 % that the intervals of
        all C settings contain their true gains.
    """
    values = numpy.asarray(gains, dtype=numpy.float64)
    cells, count = values.shape
    if count < 2:
        return None
    if cells == 1:
        return paired_interval(values[0].tolist(), image_means, overlap)
    own = float(values[chosen].std(ddof=1))
    pooled = math.sqrt(float(values.var(axis=1, ddof=1).mean()))
    error = math.sqrt(max(own, pooled) ** 2 * (1 / count + overlap) + _image_variance(image_means))
    mean = float(values[chosen].mean())
    reach = critical_value(cells, count, _correlation(values)) * error
    return Interval(mean, mean - reach, mean + reach, error, float(count - 1), own, count, cells)


def seeds_needed(gain: float, deviation: float, image_variance: float = 0.0) -> int | None:
    """Compute how many seeds are needed to detect a gain with probability 80 %.

    A gain is detected if its 95 % interval (`paired_interval`) lies above 0.

    Args:
        gain: true mean difference, in percentage points.
        deviation: standard deviation over seeds, in percentage points.
        image_variance: variance of the mean over the test images, s2_image / I, which more seeds do not reduce.

    Returns:
        At least 3; None if more than 1,000 seeds would be needed, or if the gain is 0.
    """
    if not gain:
        return None
    values = (deviation, image_variance)
    return next((count for count in range(3, MAX_SEEDS + 1) if power(abs(gain), count, *values) >= POWER), None)


def power(gain: float, seeds: int, deviation: float, image_variance: float = 0.0) -> float:
    """Compute the statistical power: the probability that the 95 % interval of a gain lies above 0.

    The number of test images is assumed to be so large that their variance is known.

    Args:
        gain: true mean difference, in percentage points.
        seeds: number of seeds, at least 2.
        deviation, image_variance: as in `seeds_needed`.
    """
    of_seeds = deviation**2 / seeds
    variance = of_seeds + image_variance
    if variance == 0:
        return 1.0 if gain > 0 else 0.0
    degrees = min(variance**2 * (seeds - 1) / of_seeds**2, MAX_DEGREES) if of_seeds else MAX_DEGREES
    return 1 - float(special.nctdtr(degrees, gain / math.sqrt(variance), _t_quantile(degrees)))


def _t_quantile(degrees: float) -> float:
    """Compute the 97.5 % quantile of Student's t distribution with `degrees` degrees of freedom."""
    return float(special.stdtrit(degrees, 0.5 + LEVEL / 2))


@lru_cache(maxsize=256)
def critical_value(cells: int, seeds: int, correlation: float) -> float:
    """Simulate the 95 % quantile of the largest |t| statistic over several settings.

    The gains of all settings are measured against the same controls (runs without unlabeled images), so that they are
    correlated.

    Args:
        cells: number of settings.
        seeds: number of seeds.
        correlation: correlation between the gains of two settings with the same seed, in [0, 1]; 0.5 if runs and
            controls have the same variance.

    Returns:
        The quantile. Each |t| is the absolute mean gain divided by its standard error, which is computed from the
        setting's own or the pooled deviation, whichever is larger.
    """
    generator = numpy.random.Generator(numpy.random.Philox(key=[cells, seeds]))
    largest = numpy.empty(SIMULATIONS)
    rows = max(1, 2_000_000 // (cells * seeds))
    for start in range(0, SIMULATIONS, rows):
        count = min(rows, SIMULATIONS - start)
        shared = generator.standard_normal((count, 1, seeds)) * math.sqrt(correlation)
        values = shared + generator.standard_normal((count, cells, seeds)) * math.sqrt(1 - correlation)
        variances = values.var(axis=2, ddof=1)
        deviations = numpy.sqrt(numpy.maximum(variances, variances.mean(axis=1, keepdims=True)))
        statistics = numpy.abs(values.mean(axis=2)) / (deviations / math.sqrt(seeds))
        largest[start : start + count] = statistics.max(axis=1)
    return float(numpy.quantile(largest, LEVEL))


def _image_variance(image_means: Sequence[float] | None) -> float:
    """Compute the variance of the mean of `image_means` (one value per test image); 0 with fewer than two values."""
    if image_means is None or len(image_means) < 2:
        return 0.0
    return float(numpy.var(image_means, ddof=1)) / len(image_means)


def _correlation(values: Matrix) -> float:
    """Estimate the correlation between the gains of two settings with the same seed.

    The result is rounded down to a multiple of 0.1 in [0, 0.9], so that the cache of `critical_value` is used more
    often.

    Args:
        values: (C, S) gains of C settings with S seeds.
    """
    centered = values - values.mean(axis=1, keepdims=True)
    total = float((centered**2).sum())
    if total == 0:
        return 0.5
    cells = len(values)
    shared = float((centered.sum(axis=0) ** 2).sum())  # sum over seeds of the squared sum over cells
    mean_correlation = (shared / total - 1) / (cells - 1)
    return min(0.9, max(0.0, math.floor(mean_correlation * 10) / 10))
