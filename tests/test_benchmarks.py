"""The benchmark runs, its names are those of its goals, and its page keeps what was not measured again."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import goals, gpu, results, steps
from benchmarks.clock import Plan
from benchmarks.inputs import Shape


def test_an_entry_is_measured_and_has_a_goal() -> None:
    name = "step_over_bare.small_cnn_64.self_training"
    ((found, measured),) = steps.measure(Plan(quick=True, rounds=1, only=(name,)))
    assert found == name
    assert measured.value > 0.2
    assert measured.seconds["ours"] > 0
    assert [entry.goal for entry in goals.entries(2) if entry.name == found] == ["<= 1.05"]


def test_no_two_entries_have_one_name() -> None:
    names = [entry.name for entry in goals.entries(2)]
    assert len(names) == len(set(names))


def test_the_page_keeps_the_rows_that_were_not_measured_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench -->\n<!-- end -->\nafter\n")
    row = ("1.0", "", "", "", "", "")
    results.write_page(page, "first", ["a", "b"], [("a", *row), ("b", *row)])
    results.write_page(page, "second", ["a", "b"], [("a", "2.0", *row[1:])])
    text = page.read_text()
    assert "second" in text
    assert "| a | 2.0 |" in text
    assert "| b | 1.0 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_what_is_measured_on_a_gpu_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a processor in its place, which compiles nothing, and of which no profiler tells kernels."""
    for name, value in {"DEVICE": "cpu", "SHAPE": Shape("wide_resnet", (), 8, 4, 2), "POOL": 40}.items():
        monkeypatch.setattr(gpu, name, value)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(gpu, "kernels", lambda work: [(0.0, 1.0), (2.0, 4.0), (3.0, 4.0)])
    eager = gpu.our_step
    monkeypatch.setattr(
        gpu, "our_step", lambda one, data: eager(replace(one, settings=replace(one.settings, compile=False)), data)
    )
    found = dict(gpu.measured(Plan(quick=True, rounds=1)))
    assert {entry.name for entry in goals.entries(2) if entry.name.startswith("gpu.")} == set(found)
    assert found["gpu.idle_share"].value == 0.25
    assert all(measured.value > 0 for measured in found.values())


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_a_profile_has_what_the_kernels_are_told_by() -> None:
    assert gpu.kernels(lambda: torch.ones(3).sum()) == []
