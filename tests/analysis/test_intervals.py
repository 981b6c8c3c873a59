"""Intervals of a gain: against hand computation and scipy, and how often they are wrong, by simulation."""

import math
from collections.abc import Sequence

import numpy
import pytest
from scipy import stats

from semisup.analysis.intervals import (
    Interval,
    chosen_interval,
    paired_interval,
    power,
    seeds_needed,
)
from tests.conftest import SOAK

CELLS = 12
SWEEPS = 4000 if SOAK else 800


def test_paired_interval_equals_scipys_t_interval() -> None:
    differences = [4.2, 1.0, 6.5, 3.3, 2.9]
    interval = paired_interval(differences)
    assert interval is not None
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.mean == pytest.approx(numpy.mean(differences))
    assert interval.degrees_of_freedom == 4


def test_paired_interval_adds_the_variance_of_the_test_images() -> None:
    differences, images = [2.0, 4.0, 3.0], [100.0] * 6 + [0.0] * 90 + [-100.0] * 3
    interval = paired_interval(differences, images)
    assert interval is not None
    seeds, share = 1.0 / 3, float(numpy.var(images, ddof=1)) / len(images)
    assert interval.standard_error == pytest.approx(math.sqrt(seeds + share))
    expected = (seeds + share) ** 2 / (seeds**2 / 2 + share**2 / (len(images) - 1))
    assert interval.degrees_of_freedom == pytest.approx(expected)


def test_equal_runs_have_an_interval_of_width_zero() -> None:
    interval = paired_interval([0.0, 0.0, 0.0], [0.0, 0.0])
    assert interval is not None
    assert (interval.low, interval.mean, interval.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("differences", [[], [3.0]])
def test_fewer_than_two_seeds_have_no_interval(differences: list[float]) -> None:
    assert paired_interval(differences) is None


def test_one_cell_alone_was_not_chosen() -> None:
    assert chosen_interval([[1.0, 2.0, 4.0]], 0) == paired_interval([1.0, 2.0, 4.0])


def test_a_chosen_cell_has_a_wider_interval_than_a_named_one() -> None:
    generator = numpy.random.default_rng(0)
    gains = generator.normal(1, 1, (CELLS, 5)).tolist()
    chosen, named = chosen_interval(gains, 3), paired_interval(gains[3])
    assert chosen is not None
    assert named is not None
    assert chosen.cells == CELLS
    assert chosen.low < named.low < named.high < chosen.high


@pytest.mark.parametrize(("effect", "expected"), [(1.0, 10), (2.0, 5), (0.5, 34)])
def test_seeds_needed_reach_the_power(effect: float, expected: int) -> None:
    assert seeds_needed(effect * 2.0, 2.0) == expected
    assert power(effect, expected, 1.0) >= 0.8 > power(effect, expected - 1, 1.0)


def test_more_seeds_cannot_make_up_for_few_test_images() -> None:
    """With a standard error of 1 point over the images, 80 % power needs a gain of 1.96 + 0.84 points."""
    assert seeds_needed(2.75, 1.0, 1.0) is None
    needed = seeds_needed(3.2, 2.0, 1.0)
    assert needed is not None
    assert needed > (seeds_needed(3.2, 2.0) or 0)
    generator = numpy.random.default_rng(0)
    noise, images = generator.normal(0, 2, (20_000, needed)), generator.normal(0, 1, (20_000, 1))
    values = 3.2 + noise + images  # one error of the images for all seeds of a sweep
    of_seeds = values.var(axis=1, ddof=1) / needed
    error = numpy.sqrt(of_seeds + 1.0)
    degrees = error**4 / (of_seeds**2 / (needed - 1))
    detected = values.mean(axis=1) > stats.t.ppf(0.975, degrees) * error
    assert detected.mean() == pytest.approx(power(3.2, needed, 2.0, 1.0), abs=0.03)


def sweep(generator: numpy.random.Generator, seeds: int, effect: float) -> tuple[Interval, Sequence[float]]:
    """Draw a sweep of 12 cells that share their controls, choose one on validation; its interval and true gains."""
    spread = numpy.linspace(0.5, 1.5, CELLS)[:, None]
    gains = effect * numpy.sqrt(1 + spread**2)
    runs = generator.normal(0, 1, (CELLS, seeds)) * spread + gains
    chosen = int((runs.mean(axis=1) + generator.normal(0, 1, CELLS)).argmax())
    interval = chosen_interval((runs - generator.normal(0, 1, seeds)).tolist(), chosen)
    fresh = generator.normal(0, 1, 10) * spread[chosen, 0] + gains[chosen, 0] - generator.normal(0, 1, 10)
    assert interval is not None
    return interval, fresh.tolist()


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_at_most_one_sweep_in_twenty_claims_a_gain_that_is_not_there(seeds: int) -> None:
    """12 cells, shared controls, unequal variances, no true gain: the chosen cell, and ten fresh seeds of it."""
    generator = numpy.random.default_rng(seeds)
    drawn = [sweep(generator, seeds, 0.0) for _ in range(SWEEPS)]
    suggestive = sum(interval.low > 0 for interval, _ in drawn) / SWEEPS
    clear = sum((paired_interval(fresh) or drawn[0][0]).low > 0 for _, fresh in drawn) / SWEEPS
    assert suggestive <= 0.05
    assert clear <= 0.05
    assert clear > 0.005, "an interval that never excludes zero is no test"


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.2), (5, 0.3), (10, 0.6)])
def test_a_gain_of_one_deviation_is_seen(seeds: int, expected: float) -> None:
    """At least this often by the sweep itself, and four times in five by ten fresh seeds."""
    generator = numpy.random.default_rng(seeds)
    drawn = [sweep(generator, seeds, 1.0) for _ in range(SWEEPS // 2)]
    assert sum(interval.low > 0 for interval, _ in drawn) / len(drawn) >= expected
    confirmed = sum((paired_interval(fresh) or drawn[0][0]).low > 0 for _, fresh in drawn) / len(drawn)
    assert confirmed == pytest.approx(power(1.0, 10, 1.0), abs=0.06)
