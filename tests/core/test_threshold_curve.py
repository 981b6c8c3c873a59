"""Threshold curve: comparison with a naive loop, and properties for any images."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semisup.core.threshold_curve import THRESHOLDS, lowest_threshold_for, summary_thresholds, threshold_curve
from semisup.core.types import PolicyContext, PseudoLabels, ThresholdCurve
from semisup.threshold.fixed import Fixed


def naive(confidence: list[float], targets: list[int], truth: list[int]) -> ThresholdCurve:
    """The definition, image by image."""
    coverage, accuracy = [], []
    for tau in torch.tensor(THRESHOLDS).tolist():  # as float32, like confidences
        images = [each for each in zip(confidence, targets, truth, strict=True) if each[1] >= 0]
        kept = [each for each in images if each[0] >= tau]
        known = [each for each in kept if each[2] >= 0]
        coverage.append(len(kept) / len(images) if images else 0.0)
        accuracy.append(sum(each[1] == each[2] for each in known) / len(known) if known else None)
    return ThresholdCurve(coverage, accuracy)


IMAGE = st.tuples(
    st.one_of(st.floats(0, 1, width=32), st.sampled_from([float(tau) for tau in torch.tensor(THRESHOLDS)])),
    st.integers(-1, 2),
    st.integers(-1, 2),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(IMAGE, max_size=25))
def test_threshold_curve_equals_a_loop_and_coverage_never_increases(images: list[tuple[float, int, int]]) -> None:
    confidence, targets, truth = ([each[part] for each in images] for part in range(3))
    found = threshold_curve(
        torch.tensor(confidence, dtype=torch.float32),
        torch.tensor(targets, dtype=torch.int64),
        torch.tensor(truth, dtype=torch.int64),
    )
    assert found == naive(torch.tensor(confidence, dtype=torch.float32).tolist(), targets, truth)
    assert found.coverage == sorted(found.coverage, reverse=True)
    seen = any(target >= 0 for target in targets)
    assert found.coverage[0] == (1.0 if seen else 0.0), "at threshold 0 everything is kept"


def test_threshold_curve_equals_hand_computed_values() -> None:
    confidence = torch.tensor([0.2, 0.5, 0.5, 0.9, 0.95])
    targets, truth = torch.tensor([0, 1, 2, 1, -1]), torch.tensor([1, 1, 0, -1, 0])
    found = threshold_curve(confidence, targets, truth)
    at = dict(zip(THRESHOLDS, zip(*found, strict=True), strict=True))
    assert at[0.0] == (1.0, 1 / 3), "the last was never looked at, the fourth is not known"
    assert at[0.2] == (1.0, 1 / 3)
    assert at[0.21] == at[0.5] == (0.75, 0.5)
    assert at[0.51] == at[0.9] == (0.25, None)
    assert at[0.91] == (0.0, None)


def test_thresholds_increase_and_match_the_documentation() -> None:
    assert list(THRESHOLDS) == sorted(set(THRESHOLDS))
    assert (THRESHOLDS[0], THRESHOLDS[99], THRESHOLDS[100], THRESHOLDS[108]) == (0.0, 0.99, 0.991, 0.999)
    assert THRESHOLDS[109:] == (0.9995, 0.9999)


def test_threshold_curve_selects_the_same_images_as_the_fixed_policy() -> None:
    confidence = torch.cat((torch.tensor(THRESHOLDS), torch.rand(500, generator=torch.Generator().manual_seed(0))))
    targets = torch.zeros(len(confidence), dtype=torch.int64)
    found = threshold_curve(confidence, targets, targets)
    labels = PseudoLabels(torch.zeros(len(confidence), 2), confidence, targets)
    for tau, covered in zip(THRESHOLDS, found.coverage, strict=True):
        selection, _ = Fixed(tau=tau, strict=False).select(labels, targets, PolicyContext(0.5), {})
        assert float((selection.weight > 0).double().mean()) == covered, tau


def test_lowest_threshold_for_a_target_accuracy() -> None:
    confidence = torch.linspace(0.005, 0.995, 100)
    targets = torch.ones(100, dtype=torch.int64)
    truth = (confidence > 0.4).long()  # wrong below .4, right above
    found = threshold_curve(confidence, targets, truth)
    assert lowest_threshold_for(found, 0.0) == (0.0, 1.0)
    tau, covered = lowest_threshold_for(found, 0.9) or (None, None)
    assert (tau, covered) == (0.34, 0.66), "60 of 66 are right; 60 of 67 are not nine in ten"
    assert lowest_threshold_for(found, 1.0) == (0.4, 0.6)
    summary = summary_thresholds(found)
    assert summary["what_if/tau_for_90"] == 0.34
    assert summary["what_if/coverage_for_90"] == 0.66
    never = summary_thresholds(threshold_curve(confidence, targets, torch.zeros_like(truth)))
    assert set(never.values()) == {None}
    assert set(never) == set(summary)


@pytest.mark.parametrize("count", [0, 3])
def test_accuracy_is_none_without_known_classes(count: int) -> None:
    unknown = torch.full((count,), -1)
    found = threshold_curve(torch.full((count,), 0.5), torch.zeros(count, dtype=torch.int64), unknown)
    assert set(found.accuracy) == {None}
