"""The first lines of `compare`, word for word: what a reader without statistics acts on."""

import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from semisup.analysis.comparison import compare_runs
from semisup.analysis.confirmation import FILE, confirmation_folder
from semisup.analysis.runs import find_runs, read_runs
from semisup.cli.compare import compare
from semisup.config.controls import control_config
from semisup.report.wording import summary_sentence, title
from tests.report.run_maker import STEPS, make, make_with_references, plain_of

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


SAME = "Compared with labels alone: no other labels-only run is better on validation than the control."


@pytest.mark.parametrize(
    ("seeds", "gain", "accuracy", "expected"),
    [
        (
            *(5, 0.06, "86.2 ± 1.0"),
            "Unlabeled images: this setting is 5.9 points better than the control, 95 % interval of the gain +4.3 to "
            "+7.4: a suggestive gain, "
            "to be confirmed by semisup confirm.",
        ),
        (
            *(5, 0.003, "80.5 ± 1.0"),
            "Unlabeled images: this setting is 0.2 points better than the control, 95 % interval of the gain -1.4 to "
            "+1.7: no evidence of a "
            "gain; about 443 new seeds would detect a gain of this size over the control.",
        ),
        (
            *(5, -0.08, "72.2 ± 1.0"),
            "Unlabeled images: this setting is 8.1 points worse than the control, 95 % interval of the gain -9.7 to "
            "-6.6: suggestive of harm"
            ": labels alone do better.",
        ),
        (
            *(3, 0.012, "80.6 ± 0.1"),
            "Unlabeled images: this setting is 0.1 points better than the control, 95 % interval of the gain -0.7 to "
            "+1.0: no evidence of a "
            "gain; about 47 new seeds would detect a gain of this size over the control.",
        ),
    ],
    ids=["gain", "none", "harm", "three seeds"],
)
def test_first_lines_of_a_sweep(tmp_path: Path, seeds: int, gain: float, accuracy: str, expected: str) -> None:
    sweep(tmp_path / "mine", seeds, gain)
    best = "Best of 2 settings, selected on validation: threshold.tau=0.9: test accuracy"
    assert lines(tmp_path / "mine") == [f"{best} {accuracy} % over {seeds} seeds.", expected, SAME]


def test_standard_error_of_0_is_replaced_by_the_share_of_one_image(tmp_path: Path) -> None:
    make_with_references(tmp_path / "mine", plain_of("method=self_training"), test=1.0, control=0.9, baseline=0.8)
    unlabeled = lines(tmp_path / "mine")[1]
    assert "standard error" not in unlabeled
    assert "with one seed the difference may be chance, and one of the 200 test images is 0.5 points" in unlabeled


def test_long_reason_for_no_pseudo_label_is_a_whole_sentence(tmp_path: Path) -> None:
    run = make_with_references(tmp_path / "mine", plain_of("method=self_training"), test=0.8, control=0.8, baseline=0.8)
    summary = json.loads((run / "summary.json").read_text()) | {"unused_reason": "the reason, " * 20 + "at length"}
    (run / "summary.json").write_text(json.dumps(summary))
    assert lines(tmp_path / "mine")[1].endswith("the reason, at length.")


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    sweep(tmp_path / "mine", 1, 0.05)
    _, unlabeled, labels = lines(tmp_path / "mine")
    assert "; with one seed the difference may be chance, and the standard error over 200 test images is " in unlabeled
    assert "nan" not in unlabeled + labels


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (
            0.05,
            [
                "Confirmed on 10 fresh seeds: threshold.tau=0.9: test accuracy 84.9 ± 1.5 %.",
                "Unlabeled images: this setting is 5.0 points better than the control, 95 % interval of the gain "
                "+4.4 to +5.6: a clear gain. "
                "The sweep had overstated it by 2.0 points.",
                "Compared with labels alone: this setting is 5.0 points better than the best labels-only runs of the "
                "sweep, 95 % interval of the gain "
                "+4.4 to +5.6: a clear gain.",
            ],
        ),
        (
            0.0,
            [
                "Confirmed on 10 fresh seeds: threshold.tau=0.9: test accuracy 79.9 ± 1.5 %.",
                "Unlabeled images: this setting and the control are 0.0 points apart, 95 % interval of the gain -0.6 "
                "to +0.6: no "
                "evidence of a difference. The sweep had overstated it by 7.0 points.",
                "Compared with labels alone: this setting and the best labels-only runs of the sweep are 0.0 points "
                "apart, 95 % interval of the gain "
                "-0.6 to +0.6: no evidence of a difference.",
            ],
        ),
    ],
    ids=["gain", "none"],
)
def test_confirmation_comes_first(tmp_path: Path, gain: float, expected: list[str]) -> None:
    sweep(tmp_path / "mine", 3, 0.08)
    place = confirmation_folder(tmp_path / "mine")
    sweep(place, 10, gain, first=3, cells=1)
    declared = plain_of("method=self_training", CELL)
    content = {"schema": 1, "settings": {"threshold.tau": 0.9}, "config": declared, "labels_only": None}
    (place / FILE).write_text(json.dumps(content | {"redraw_labels": True, "seeds": list(range(3, 13))}))
    assert lines(tmp_path / "mine") == [
        *expected,
        "The sweep in which this setting was selected, without the confirmation:",
        "Best of 2 settings, selected on validation: threshold.tau=0.9: test accuracy 87.4 ± 0.1 % over 3 seeds.",
        "Unlabeled images: this setting is 6.9 points better than the control, 95 % interval of the gain +6.1 to "
        "+7.8: a suggestive gain "
        "before its confirmation.",
        SAME,
    ]


def test_unfinished_confirmation_says_how_to_continue(tmp_path: Path) -> None:
    sweep(tmp_path / "mine", 3, 0.05)
    place = confirmation_folder(tmp_path / "mine")
    sweep(place, 2, 0.05, first=3, cells=1)
    declared = plain_of("method=self_training", CELL)
    content = {"schema": 1, "settings": {"threshold.tau": 0.9}, "config": declared, "labels_only": None}
    (place / FILE).write_text(json.dumps(content | {"redraw_labels": True, "seeds": list(range(3, 13))}))
    command = f"semisup confirm {tmp_path / 'mine'} --seeds 10"
    expected = f"Confirmation of threshold.tau=0.9: 2 of 10 seeds are finished; to continue: {command}"
    assert lines(tmp_path / "mine")[0] == expected


def test_missing_and_failed_references_are_named(tmp_path: Path) -> None:
    config = plain_of("method=self_training", CELL)
    make_with_references(tmp_path / "mine", config, test=0.8, control=None, baseline=None)
    _, unlabeled, labels = lines(tmp_path / "mine")
    assert unlabeled == "Unlabeled images: no control, so their effect is unknown."
    assert labels.startswith("Compared with labels alone: no labels-only run is finished")


ALONE = (
    "Compared with labels alone: this setting is 30.0 points better than the best labels-only runs "
    "(supervised training, augmentation none), 95 % interval of the gain +30.0 to +30.0: a suggestive gain, to be "
    "confirmed by semisup confirm."
)


def text_of(folder: Path) -> str:
    """All that `compare` prints."""
    file = io.StringIO()
    assert compare([folder], Console(file=file, width=150)) == 0
    assert "nan" not in re.sub(r"\S*/\S*", "", file.getvalue()), "in a path, no number"
    return file.getvalue()


def test_failed_reference_is_one_sentence(tmp_path: Path) -> None:
    for seed in (0, 1):
        config = plain_of("method=self_training", CELL, seed=seed)
        make_with_references(tmp_path / "mine", config, test=0.8, control=None, baseline=0.5, labelings=LABELINGS)
        make(tmp_path / "mine", control_config(config, {"steps": STEPS}), status="failed")
    assert lines(tmp_path / "mine") == [
        "One setting: test accuracy 80.0 ± 0.0 % over 2 seeds.",
        "Unlabeled images: control failed, so their effect is unknown.",
        ALONE,
    ]
    text_of(tmp_path / "mine")


def test_seeds_that_the_control_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    for seed, control in ((0, 0.7), (1, None), (2, 0.66)):
        config = plain_of("method=self_training", CELL, seed=seed)
        make_with_references(tmp_path / "mine", config, test=0.8, control=control, baseline=0.5, labelings=LABELINGS)
    assert lines(tmp_path / "mine") == [
        "One setting: test accuracy 80.0 ± 0.0 % over 3 seeds.",
        "Unlabeled images: this setting is 12.0 points better than the control (2 of 3 seeds), 95 % interval of the "
        "gain -13.4 to +37.4: no "
        "evidence of a gain; about 3 new seeds would detect a gain of this size over the control.",
        ALONE,
    ]
    text_of(tmp_path / "mine")


def test_one_cell_without_a_test_set(tmp_path: Path) -> None:
    for seed in range(3):
        config = plain_of("method=self_training", CELL, seed=seed)
        val = 0.8 + seed / 100
        make_with_references(
            tmp_path / "mine", config, val=val, test=None, control=0.7, baseline=0.5, labelings=LABELINGS
        )
    assert lines(tmp_path / "mine") == [
        "One setting: validation accuracy 81.0 ± 1.0 % (there is no test set) over 3 seeds.",
        "Unlabeled images: this setting is 11.0 points better than the control, 95 % interval of the gain +8.5 to "
        "+13.5: a suggestive gain, "
        "to be confirmed by semisup confirm. Measured on the validation images that selected it, so it is optimistic.",
        SAME,
    ]
    text_of(tmp_path / "mine")


def test_controls_of_version_0_1_0_have_their_name_everywhere(tmp_path: Path) -> None:
    """They were supervised under the strong augmentation: another experiment than the run without unlabeled images."""
    old = "strongly augmented control"
    for seed in range(3):
        config = plain_of("method=fixmatch", CELL, seed=seed) | {"definitions": 1}
        accuracy = 0.8 + seed / 100
        make_with_references(tmp_path / "mine", config, test=accuracy, control=0.7, baseline=0.5, labelings=LABELINGS)
    assert lines(tmp_path / "mine")[1] == (
        f"Unlabeled images: this setting is 11.0 points better than the {old}, 95 % interval of the gain +8.5 to "
        f"+13.5: a suggestive gain, to "
        "be confirmed by semisup confirm, of a new sweep."
    )
    text = text_of(tmp_path / "mine")
    assert "gain over" in text
    assert text.count(old) == 3, "the sentence, the column of gains, the references"
    content = json.loads((tmp_path / "mine" / "comparison.json").read_text())
    assert [each["kind"] for each in content["references"]] == [old, "best labels-only", "baseline"]
    roles = {run["role"] for run in content["runs"]}
    assert roles == {"run", f"{old} and best labels-only", "baseline"}
    page = (tmp_path / "mine" / "report.html").read_text()
    assert f"over\n{old}</th>" in page
    comparison = compare_runs(read_runs(find_runs([tmp_path / "mine"])))
    assert f"points over the {old} (" in title(comparison)
    now = replace(comparison, rows=[])
    assert now.control_name == "control"


def test_restarts_of_noisy_student_are_pointed_out(tmp_path: Path) -> None:
    make_with_references(tmp_path / "mine", plain_of("method=noisy_student"), test=0.8, control=0.7, baseline=0.5)
    assert "it restarts more often in as many steps (docs/methods.md)" in " ".join(text_of(tmp_path / "mine").split())
    make_with_references(tmp_path / "other", plain_of("method=fixmatch"), test=0.8, control=0.7, baseline=0.5)
    assert "restarts" not in re.sub(r"\S*/\S*", "", text_of(tmp_path / "other"))
