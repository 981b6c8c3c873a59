"""Test `semisup advise` on the command line: sentences, commands to type, and wrong input."""

import json
import re
from pathlib import Path

import pytest

from semisup.cli.train import train_command
from tests.analysis.advice_maker import cell, two_cells, with_classes, with_curves, with_half_of_the_labels
from tests.conftest import Program, checked
from tests.report.run_maker import make, plain_of


def with_command(run: Path, command: str) -> None:
    """Record the train command of a run."""
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"command": command}))


def line_after(text: str, start: str) -> str:
    """The line after the one that starts with `start`, without leading spaces."""
    lines = [line.strip() for line in text.splitlines()]
    return lines[next(number for number, line in enumerate(lines) if line.startswith(start)) + 1]


def test_helpful_pseudo_labels_are_to_be_confirmed(tmp_path: Path, program: Program) -> None:
    for seed, gain in enumerate((2, 3, 4)):
        cell(tmp_path / "mine", seed, gain)
    status, text = program("advise", "mine")
    assert status == 0
    assert text.startswith("1. Pseudo-labels help: ")
    assert line_after(text, "Confirm it") == "semisup confirm mine"
    assert text.splitlines()[-1].startswith(
        "Not checked: unlabeled images that belong to none of the classes (needs a run of self_training"
    )


def test_labels_alone_are_to_be_used_where_pseudo_labels_harm(tmp_path: Path, program: Program) -> None:
    for seed, gain in enumerate((-2, -3, -4)):
        cell(tmp_path / "mine", seed, gain)
    _, text = program("advise", "mine")
    assert line_after(text, "Use labels alone").startswith("semisup predict mine/self_training-lambda0-")


@pytest.mark.parametrize(("gains", "seeds"), [((-3, 1, 6), 92), ((-3, 0, 6), None)])
def test_undecided_runs_are_repeated_if_a_hundred_seeds_would_suffice(
    tmp_path: Path, program: Program, gains: tuple[int, ...], seeds: int | None
) -> None:
    for seed, gain in enumerate(gains):
        cell(tmp_path / "mine", seed, gain)
    _, text = program("advise", "mine")
    if seeds is None:
        assert line_after(text, "More labeled or test images would decide it").startswith("semisup predict mine/")
    else:
        assert line_after(text, "Repeat it") == f"semisup confirm mine --seeds {seeds}"


def test_images_of_no_class_are_to_be_left_out(tmp_path: Path, program: Program) -> None:
    run = cell(tmp_path / "mine", 0, 3)
    with_curves(run, unlabeled=0.3)
    _, text = program("advise", "mine")
    assert line_after(text, "Look at the images") == f"semisup show mine/{run.name}"
    with_command(run, "semisup train name=mine seed=0")
    _, text = program("advise", "mine")
    expected = "semisup train name=mine reject=energy seed=0"
    assert line_after(text, "Leave out the images") == expected
    assert train_command([*expected.split()[2:], "--cfg", "job"]) == 0


@pytest.mark.filterwarnings("ignore:all 878 unlabeled images belong to the 10 classes")
@pytest.mark.parametrize(
    ("reject", "classes", "others"),
    [("knn", "[0,1,2,3,4,5]", True), ("none", "[0,1,2,3,4,5]", True), ("knn", "null", False)],
)
def test_real_runs_detect_images_of_no_class_only_where_there_are_some(
    tmp_path: Path, program: Program, reject: str, classes: str, others: bool
) -> None:
    """Real digits of ten classes; the digits 6 to 9 are labeled nowhere, or all digits are."""
    data = (f"dataset.only_classes={classes}", "dataset.labels_per_class=20")
    words = (
        "model=linear",
        "augment=none",
        "optimizer.lr=0.05",
        "train.epochs=4",
        "method.gate=0.5",
        "threshold.tau=0.5",
    )
    status, text = program("train", *data, *words, f"reject={reject}", "plots=false", "tracking=none")
    assert status == 0, text
    _, text = program("advise", "outputs/runs")
    match = re.search(r"belong to none of the classes: about (\d+) % of the \d+ images or more", text)
    assert (match is not None) == others
    if match is not None:
        dataset = checked(*data).dataset
        truth = dataset.read(dataset.inspect(), lambda items, description, total: items).hidden_targets
        share = 100 * float((truth == 6).float().mean())
        assert 25 < int(match[1]) < share + 3, f"{share:.0f} % of the images belong to none of the classes"
    else:
        assert text.startswith("Nothing to report: unlabeled images that belong to none of the classes;")


def test_settings_of_another_option_of_reject_are_left_out(tmp_path: Path, program: Program) -> None:
    run = cell(tmp_path / "mine", 0, 3, "reject=knn", "reject.keep=null", "reject.limit=-0.5", "reject.k=5")
    with_curves(run, unlabeled=0.3)
    words = "semisup train name=mine reject=knn reject.keep=null reject.limit=-0.5 reject.k=5 train.epochs=9 seed=0"
    with_command(run, words)
    _, text = program("advise", "mine")
    expected = "semisup train name=mine train.epochs=9 reject=energy seed=0"
    assert line_after(text, "Leave out the images") == expected
    assert train_command([*expected.split()[2:], "--cfg", "job"]) == 0


def test_features_are_compared_where_there_is_an_encoder(tmp_path: Path, program: Program) -> None:
    run = cell(tmp_path / "mine", 0, 3, "encoder=lite0", "model=linear")
    with_curves(run, unlabeled=0.3)
    with_command(run, "semisup train name=mine encoder=lite0 seed=0")
    _, text = program("advise", "mine")
    assert line_after(text, "Leave out the images") == "semisup train name=mine encoder=lite0 reject=knn seed=0"


def test_concentrated_pseudo_labels_get_another_loss(tmp_path: Path, program: Program) -> None:
    run = cell(tmp_path / "mine", 0, 3)
    with_classes(run, (160, 20, 20), (40, 40, 20), (170, 130, 100))
    with_command(run, "semisup train name=mine seed=0 threshold=fixed threshold.tau=0.9 threshold.strict=true")
    _, text = program("advise", "mine")
    expected = (
        "semisup train name=mine threshold=fixed threshold.tau=0.9 threshold.strict=true loss=logit_adjustment "
        "loss.unlabeled=estimate seed=0"
    )
    assert line_after(text, "Reduce the preference") == expected
    assert "If the unlabeled set" not in text
    assert train_command([*expected.split()[2:], "--cfg", "job"]) == 0


def test_command_of_a_sweep_gets_the_values_of_the_best_setting(tmp_path: Path, program: Program) -> None:
    for tau, val, schedule in ((0.9, 0.9, "cosine"), (0.8, 0.7, "constant")):
        run = cell(tmp_path / "mine", 0, 3, f"threshold.tau={tau}", f"schedule={schedule}", val=val)
        with_classes(run, (160, 20, 20), (40, 40, 20), (170, 130, 100))
        with_command(run, "semisup train -m name=mine threshold.tau=0.8,0.9 seed=0,1")
    _, text = program("advise", "mine")
    words = line_after(text, "Reduce the preference").split()
    assert words[:3] == ["semisup", "train", "name=mine"]
    assert {"threshold.tau=0.9", "schedule=cosine", "loss=logit_adjustment", "seed=0"} <= set(words)
    assert train_command([*words[2:], "--cfg", "job"]) == 0


def test_concentrated_predictions_are_to_be_labeled(tmp_path: Path, program: Program) -> None:
    run = cell(tmp_path / "mine", 0, 3)
    with_classes(run, (160, 20, 20), (40, 40, 20), (320, 40, 40))
    with_command(run, "semisup train name=mine seed=0")
    _, text = program("advise", "mine")
    assert line_after(text, "If the unlabeled set") == f"semisup label mine/{run.name}"


def test_equal_settings_are_said_to_be_equal(tmp_path: Path, program: Program) -> None:
    two_cells(tmp_path / "mine", better=9, worse=5, images=100)
    _, text = program("advise", "mine")
    assert line_after(text, "1. The validation set is too small") == (
        "Treat these settings as equally good, or add labeled images to the validation set."
    )


def test_command_that_halves_the_labels_is_printed_if_these_runs_are_missing(tmp_path: Path, program: Program) -> None:
    with_half_of_the_labels(tmp_path / "mine", (2, 3), (20, 20))
    for run in (tmp_path / "mine").glob("self_training-fixed-*"):
        with_command(run, "semisup train name=mine method=self_training dataset.labels_per_class=4 seed=0")
    _, text = program("advise", "mine")
    assert "To check the value of more labels" not in text
    for run in (tmp_path / "mine").iterdir():
        if "labels_per_class: 2" in (run / "config.yaml").read_text():
            (run / "summary.json").unlink()
    _, text = program("advise", "mine")
    expected = (
        "semisup train -m name=mine method=self_training method.lambda_unlabeled=0 dataset.labels_per_class=6 "
        "train.epochs=null train.steps=1200 train.patience=null seed=0,1"
    )
    assert line_after(text, "To check the value of more labels") == expected
    assert "Not used: 2 of 8 runs, which are not finished." in text
    assert train_command([*expected.replace("-m ", "").replace("seed=0,1", "seed=0").split()[2:], "--cfg", "job"]) == 0


def test_sweep_of_one_seed_gets_the_commands_that_suffice_to_check_more_labels(
    tmp_path: Path, program: Program
) -> None:
    with_half_of_the_labels(tmp_path / "mine", (2,), (20,))
    (run,) = (tmp_path / "mine").glob("self_training-fixed-*")
    with_command(run, "semisup train -m name=mine method=self_training dataset.labels_per_class=4 seed=0")
    _, text = program("advise", "mine")
    assert "needs two seeds with all labels and with half of them" in text
    head, sweep, half = text.splitlines()[-3:]
    assert head.startswith("To check the value of more labels, train a second seed of all settings, and labels alone")
    assert sweep == "  semisup train -m name=mine method=self_training dataset.labels_per_class=4 seed=0,1"
    assert half.endswith(" train.patience=null seed=0,1")
    assert "method.lambda_unlabeled=0" in half


def test_experiments_of_a_folder_get_separate_advice(tmp_path: Path, program: Program) -> None:
    for name, gains in {"a": (9, 10), "a_confirm": (9, 10), "b": (2, 3)}.items():
        for seed, gain in enumerate(gains):
            cell(tmp_path / "outputs" / name, seed, gain)
    (tmp_path / "outputs/a_confirm/confirmation.json").write_text("{}")
    _, text = program("advise", "outputs")
    assert [line for line in text.splitlines() if line.startswith("outputs/")] == ["outputs/a:", "outputs/b:"]
    assert "semisup confirm outputs/a\n" in text


def test_wrong_input_ends_with_one_line_and_status_2(tmp_path: Path, program: Program) -> None:
    (tmp_path / "empty").mkdir()
    make(tmp_path / "unfinished", plain_of(), status="running")
    make(tmp_path / "unfinished", plain_of(seed=1), status="failed")
    for folder, expected in (
        ("missing", "missing: there is no such folder; type outputs/NAME, the folder of an experiment"),
        (
            "empty",
            "empty: contains no runs; type outputs (all runs), outputs/NAME (those of one experiment) or the folder of "
            "one run",
        ),
        (
            "unfinished",
            "unfinished: no run with an accuracy is finished (1 failed, 1 running); type the train command again to "
            "finish the runs",
        ),
    ):
        assert program("advise", folder) == (2, f"semisup advise: {expected}\n")


def test_files_of_runs_do_not_change(tmp_path: Path, program: Program) -> None:
    for seed, gain in enumerate((2, 3, 4)):
        cell(tmp_path / "mine", seed, gain)
    before = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    program("advise", "mine")
    assert {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()} == before


def test_run_of_version_0_1_0_is_read(program: Program) -> None:
    fixture = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"
    status, text = program("advise", str(fixture))
    assert status == 0
    assert "Not checked: pseudo-labels against labels alone (needs a finished run on labels only)" in text
