"""The first lines of `compare`, word for word: what a reader without statistics acts on."""

import json
import random
from pathlib import Path

import pytest

from semisup.analysis.comparison import compare_runs
from semisup.analysis.confirmation import FILE, confirmation_folder
from semisup.analysis.runs import find_runs, read_runs
from semisup.report.wording import summary_sentence
from tests.report.run_maker import make_with_references, plain_of

CELL = "threshold.tau=0.9"
LABELINGS: list[tuple[float, float | None]] = [(0.8, 0.95)]


def sweep(folder: Path, seeds: int, gain: float, *, first: int = 0, cells: int = 2, spread: float = 0.01) -> None:
    """Make a sweep over tau: `gain` is the mean advantage of the best cell over its control."""
    draw = random.Random(first)
    for seed in range(first, first + seeds):
        control = 0.80 + draw.gauss(0, spread)
        for cell in range(cells):
            config = plain_of("method=self_training", f"threshold.tau={0.9 - 0.1 * cell:.1f}", seed=seed)
            accuracy = control + gain - 0.02 * cell + draw.gauss(0, spread)
            val = 0.9 - 0.05 * cell
            numbers = {"control": round(control, 4), "baseline": round(control - 0.03, 4)}
            make_with_references(
                folder, config, val=val, test=round(accuracy, 4), **numbers, labelings=LABELINGS, labeled_steps=300
            )


def lines(folder: Path) -> list[str]:
    """The summary of the runs in a folder, line by line."""
    return summary_sentence(compare_runs(read_runs(find_runs([folder]))), folder).split("\n")


SAME = "Labels alone: no other labels-only run is better on validation than the control."


@pytest.mark.parametrize(
    ("seeds", "gain", "expected"),
    [
        (
            *(5, 0.06),
            "Unlabeled images: 5.9 points over the control, 95 % interval of the gain +4.3 to +7.4: a suggestive gain, "
            "to be confirmed by semisup confirm.",
        ),
        (
            *(5, 0.003),
            "Unlabeled images: 0.2 points over the control, 95 % interval of the gain -1.4 to +1.7: no evidence of a "
            "gain; a gain of this size would need about 443 seeds.",
        ),
        (
            *(5, -0.08),
            "Unlabeled images: 8.1 points below the control, 95 % interval of the gain -9.7 to -6.6: suggestive of harm"
            ": labels alone do better.",
        ),
        (
            *(3, 0.012),
            "Unlabeled images: 0.1 points over the control, 95 % interval of the gain -0.7 to +1.0: no evidence of a "
            "gain; a gain of this size would need about 47 seeds.",
        ),
    ],
    ids=["gain", "none", "harm", "three seeds"],
)
def test_sweep(tmp_path: Path, seeds: int, gain: float, expected: str) -> None:
    sweep(tmp_path / "mine", seeds, gain)
    first, unlabeled, labels = lines(tmp_path / "mine")
    assert first.startswith("Best of 2 settings, selected on validation: threshold.tau=0.9: test accuracy ")
    assert first.endswith(f" over {seeds} seeds.")
    assert (unlabeled, labels) == (expected, SAME)


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    sweep(tmp_path / "mine", 1, 0.05)
    _, unlabeled, labels = lines(tmp_path / "mine")
    assert "; with one seed the difference may be chance, and the standard error over 200 test images is " in unlabeled
    assert "nan" not in unlabeled + labels


@pytest.mark.parametrize(("gain", "judgment"), [(0.05, "a clear gain"), (0.0, "no evidence of a difference")])
def test_confirmation_comes_first(tmp_path: Path, gain: float, judgment: str) -> None:
    sweep(tmp_path / "mine", 3, 0.08)
    place = confirmation_folder(tmp_path / "mine")
    sweep(place, 10, gain, first=3, cells=1)
    declared = plain_of("method=self_training", CELL)
    content = {"schema": 1, "settings": {"threshold.tau": 0.9}, "config": declared, "labels_only": None}
    (place / FILE).write_text(json.dumps(content | {"redraw_labels": True, "seeds": list(range(3, 13))}))
    first, unlabeled, labels, *_ = lines(tmp_path / "mine")
    assert first.startswith("Confirmed on 10 fresh seeds: threshold.tau=0.9: test accuracy ")
    assert f": {judgment}. The sweep had overstated it by " in unlabeled
    assert labels.startswith("Labels alone: ")


def test_unfinished_confirmation_says_how_to_continue(tmp_path: Path) -> None:
    sweep(tmp_path / "mine", 3, 0.05)
    place = confirmation_folder(tmp_path / "mine")
    sweep(place, 2, 0.05, first=3, cells=1)
    declared = plain_of("method=self_training", CELL)
    content = {"schema": 1, "settings": {"threshold.tau": 0.9}, "config": declared, "labels_only": None}
    (place / FILE).write_text(json.dumps(content | {"redraw_labels": True, "seeds": list(range(3, 13))}))
    expected = "Confirmation of threshold.tau=0.9: 2 of 10 seeds are finished; semisup confirm continues."
    assert lines(tmp_path / "mine")[0] == expected


def test_missing_and_failed_references_are_named(tmp_path: Path) -> None:
    config = plain_of("method=self_training", CELL)
    make_with_references(tmp_path / "mine", config, test=0.8, control=None, baseline=None)
    _, unlabeled, labels = lines(tmp_path / "mine")
    assert unlabeled == "Unlabeled images: no control, so their effect is unknown."
    assert labels.startswith("Labels alone: no labels-only run is finished")
