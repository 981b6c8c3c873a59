"""Expected calibration error by hand, and the temperature against a brute force."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from semisup.core.calibration import (
    BINS,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from semisup.core.rng import torch_generator


def test_calibration_error_equals_a_hand_computed_value() -> None:
    confidence = torch.tensor([0.95, 0.97, 0.99, 0.99, 0.50, 0.52])
    right = torch.tensor([True, True, True, False, False, True])
    found = reliability(confidence, right)
    assert found.images == [0] * 7 + [2] + [0] * 6 + [4]
    assert found.confidence[7] == pytest.approx(0.51)
    assert found.accuracy[14] == pytest.approx(0.75)
    by_hand = 4 / 6 * abs(0.75 - 0.975) + 2 / 6 * abs(0.5 - 0.51)
    assert expected_calibration_error(found) == pytest.approx(by_hand, abs=1e-7)


def test_bins_include_their_upper_edge_and_cover_every_prediction() -> None:
    edges = torch.arange(BINS + 1, dtype=torch.float64) / BINS
    found = reliability(edges, torch.ones(BINS + 1, dtype=torch.bool))
    assert found.images == [2] + [1] * (BINS - 1), "0 and 1/15 are in the first"


def test_calibration_error_of_extreme_predictions() -> None:
    sure = torch.ones(8)
    assert expected_calibration_error(reliability(sure, sure > 0)) == 0
    assert expected_calibration_error(reliability(sure, sure < 0)) == 1
    assert math.isnan(expected_calibration_error(reliability(sure[:0], sure[:0] > 0)))


def answers(count: int, classes: int, scale: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that know something, `scale` times as sure as they may be."""
    generator = torch_generator(seed, "answers")
    truth = torch.randn(count, classes, generator=generator)
    targets = torch.multinomial((truth * 2).softmax(1), 1, generator=generator).squeeze(1)
    return truth * 2 * scale, targets


def loss(logits: torch.Tensor, targets: torch.Tensor, temperature: float) -> float:
    return float(cross_entropy(logits.double() / temperature, targets))


@pytest.mark.parametrize(("count", "classes"), [(40, 2), (300, 10), (500, 101)])
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_temperature_equals_a_grid_search_and_lowers_the_loss(count: int, classes: int, scale: float) -> None:
    logits, targets = answers(count, classes, scale, seed=count)
    found = fit_temperature(logits, targets)
    grid = torch.logspace(math.log10(MIN_TEMPERATURE), math.log10(MAX_TEMPERATURE), 4001, dtype=torch.float64).tolist()
    losses = [loss(logits, targets, temperature) for temperature in grid]
    assert found == pytest.approx(grid[losses.index(min(losses))], rel=2e-3), "a step of the grid is 0.15 %"
    assert loss(logits, targets, found) <= min(losses)
    assert loss(logits, targets, found) <= loss(logits, targets, 1.0)
    assert fit_temperature(logits, targets) == found
    assert fit_temperature(logits * 2, targets) == pytest.approx(2 * found, rel=1e-9), "converged"
    assert fit_temperature(logits + 7, targets) == pytest.approx(found, rel=1e-5), "in float32 a shift costs digits"


def test_temperature_lowers_the_calibration_error_of_an_overconfident_model() -> None:
    logits, targets = answers(5000, 10, 5.0, seed=1)
    temperature = fit_temperature(logits, targets)
    assert temperature == pytest.approx(5, rel=0.1)

    def error(divided: torch.Tensor) -> float:
        confidence, predicted = divided.softmax(1).max(1)
        return expected_calibration_error(reliability(confidence, predicted == targets))

    assert error(logits) > 0.2
    assert error(logits / temperature) < 0.05


def test_temperature_is_at_the_bound_where_no_minimum_exists() -> None:
    targets = torch.arange(12) % 3
    right = torch.nn.functional.one_hot(targets, 3).float()
    assert fit_temperature(right, targets) == MIN_TEMPERATURE, "no error"
    assert fit_temperature(-right, targets) == MAX_TEMPERATURE, "nothing but errors"
    assert fit_temperature(right[:0], targets[:0]) == 1
    same = torch.zeros(12, 3)
    assert MIN_TEMPERATURE <= fit_temperature(same, targets) <= MAX_TEMPERATURE, "any would do"
    assert math.isfinite(fit_temperature(right * 1e6, (targets + (torch.arange(12) == 0)) % 3))
