"""Data without unlabeled images are trained on the labels alone, or refused with a command that works when pasted."""

import json
import shlex
from pathlib import Path

import numpy
import pytest
from PIL import Image

import semisup
from semisup.errors import NoUnlabeledError, SettingError
from semisup.sweep.labels_only import automatic_words, labels_only_words
from semisup.sweep.preflight import compose_command
from tests.conftest import Program

SMALL = (
    *("dataset=folder", "dataset.root=photos", "dataset.size=8", "train.epochs=1", "train.batch_size=4"),
    *("model.widths=[4]", "plots=false", "tracking=none", "device=cpu"),
)
NOTE = "there are no unlabeled images, so the labels alone are trained on (method.lambda_unlabeled=0); dataset."


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root, draw = tmp_path / "photos", numpy.random.default_rng(0)
    for name in ("circle", "cross"):
        (root / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), numpy.uint8)).save(root / name / f"{number}.png")
    return root


def summaries(tmp_path: Path, name: str) -> list[Path]:
    return sorted((tmp_path / "outputs" / name).glob("*/summary.json"))


def test_run_is_trained_on_the_labels_alone_and_says_so(photos: Path, tmp_path: Path, program: Program) -> None:
    status, output = program("train", *SMALL, "threshold.tau=0.9", "augment.strength=0.1")
    assert status == 0, output
    assert output.count(NOTE) == 1
    (summary,) = summaries(tmp_path, "runs")
    assert summary.parent.name.startswith("self_training-lambda0-")
    assert "test/accuracy" not in json.loads(summary.read_text())
    assert program("train", *SMALL, "threshold.tau=0.8", "augment.strength=0.1")[1].count("already done") == 1


def test_sweep_over_thresholds_becomes_one_run(photos: Path, tmp_path: Path, program: Program) -> None:
    status, output = program("train", "-m", *SMALL, "threshold.tau=0.5,0.7,0.9", "seed=0,1")
    assert status == 0, output
    assert output.count(NOTE) == 1
    assert len(summaries(tmp_path, "runs")) == 2


def test_experiment_that_sweeps_thresholds_becomes_one_run() -> None:
    words = ["experiment=photographs", "dataset.root=photos"]
    command = compose_command(words, asked=False)
    assert labels_only_words(words, command) == [*words, "threshold.tau=0.3", "method.lambda_unlabeled=0"]


def test_missing_unlabeled_folder_of_the_default_trains_on_the_labels_alone(
    photos: Path, tmp_path: Path, program: Program
) -> None:
    photos.rename(tmp_path / "labeled")
    (photos / "training").mkdir(parents=True)
    (tmp_path / "labeled").rename(photos / "training/labeled")
    small = ("train.steps=2", "train.evaluate_every_steps=1", "encoder=none", *SMALL[1:3], *SMALL[-2:])
    status, output = program("train", "experiment=photographs", *small)
    assert status == 0, output
    assert output.count(NOTE) == 1
    assert len(summaries(tmp_path, "photographs")) == 1
    status, output = program("train", *SMALL, "dataset.unlabeled=training/unlabeled")
    assert status == 2
    assert output.strip().endswith("dataset.unlabeled=training/unlabeled method.lambda_unlabeled=0")


def test_null_does_not_ask_for_unlabeled_images() -> None:
    words = ["dataset=folder", "dataset.root=photos", "dataset.unlabeled=null"]
    command = compose_command(words, asked=False)
    assert automatic_words(NoUnlabeledError("method", "self_training", "x"), words, command) == [
        *words,
        "method.lambda_unlabeled=0",
    ]


def test_run_that_asks_for_pseudo_labels_is_refused(photos: Path, tmp_path: Path, program: Program) -> None:
    status, output = program("train", *SMALL, "method=fixmatch")
    assert status == 2
    message = "method=fixmatch: needs unlabeled images, but the data set has none; dataset.unlabeled=FOLDER"
    assert message in output
    command = output.strip().splitlines()[-1].partition("to train on the labels alone, type ")[2]
    assert program(*shlex.split(command)[1:])[0] == 0
    assert len(summaries(tmp_path, "runs")) == 1


def test_sweep_that_asks_for_pseudo_labels_is_refused_with_the_command_of_one_run() -> None:
    words = ["dataset=folder", "dataset.root=my photos", "method=fixmatch", "threshold.tau=0.8,0.9"]
    with pytest.raises(SettingError) as error:
        automatic_words(NoUnlabeledError("method", "fixmatch", "x"), words, compose_command(words, asked=True))
    command = "semisup train -m dataset=folder 'dataset.root=my photos' method=fixmatch threshold.tau=0.8"
    assert str(error.value).endswith(f"type {command} method.lambda_unlabeled=0")


def test_ignored_files_are_named_and_not_taken_for_missing_ones(photos: Path, program: Program) -> None:
    (photos / "unlabeled").mkdir()
    (photos / "unlabeled" / "a.raw").write_bytes(b"raw")
    status, output = program("train", *SMALL)
    assert status == 2
    assert "; ignored 1 file: 1 .raw; to train on the labels alone, type semisup train" in output
    assert output.strip().endswith("method.lambda_unlabeled=0")


def test_python_trains_on_the_labels_alone(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "best/val/accuracy" in semisup.train(SMALL).summary
