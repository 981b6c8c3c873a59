"""Test `semisup predict RUN RUN ... FOLDER`, which averages the class probabilities of several runs."""

import csv
import json
import shutil
from pathlib import Path

import numpy
import pytest
from PIL import Image

from semisup.record.probabilities import read_probabilities
from tests.conftest import Within

QUICK = (
    "train.epochs=4",
    "model.widths=[4,8]",
    "tracking=none",
    "plots=false",
    "method=supervised",
    "optimizer.lr=0.01",
)


def run(place: Path, within: Within, name: str, *overrides: str) -> Path:
    done = within(place, "train", *QUICK, f"name={name}", *overrides)
    assert done.returncode == 0, done.stderr
    (folder,) = (path.parent for path in (place / "outputs" / name).glob("*/summary.json"))
    return folder


def predicted(place: Path, within: Within, *runs: Path) -> list[dict[str, str]]:
    done = within(place, "predict", *map(str, runs), "images")
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(done.stdout.splitlines()))


def save_test_images(run: Path, images: Path) -> tuple[list[str], list[int]]:
    """Save the run's test images as files; return the class names and their rows in predictions.csv."""
    from semisup.dataset.digits import load_digits_csv

    images.mkdir()
    pixels, _ = load_digits_csv()
    with (run / "predictions.csv").open(newline="") as file:
        rows = [(number, row) for number, row in enumerate(csv.DictReader(file)) if row["split"] == "test"][:40]
    for place, (_, row) in enumerate(rows):
        image = numpy.rint(pixels[int(row["path"].split("/")[1])] * (255 / 16)).astype(numpy.uint8)
        Image.fromarray(image).save(images / f"{place:02d}.png")
    return json.loads((run / "run.json").read_text())["dataset"]["classes"], [number for number, _ in rows]


def test_ensemble_predicts_the_mean_of_the_recorded_probabilities(tmp_path: Path, within: Within) -> None:
    runs = [run(tmp_path, within, f"seed{seed}", f"seed={seed}", "dataset.split_seed=0") for seed in (0, 1, 2)]
    classes, rows = save_test_images(runs[0], tmp_path / "images")
    lines = [len((each / "predictions.csv").read_text().splitlines()) - 1 for each in runs]
    recorded = [read_probabilities(each, count, 10) for each, count in zip(runs, lines, strict=True)]
    for each, probabilities in zip(runs, recorded, strict=True):
        assert probabilities is not None
        with (each / "predictions.csv").open(newline="") as file:
            said = [(row["predicted"], float(row["confidence"])) for row in csv.DictReader(file)]
        assert [classes[number] for number in probabilities.argmax(axis=1)] == [name for name, _ in said]
        assert probabilities.max(axis=1) == pytest.approx([confidence for _, confidence in said], abs=1e-6)
    mean = numpy.mean([each[rows] for each in recorded if each is not None], axis=0)
    ensemble = predicted(tmp_path, within, *runs)
    assert [float(row["confidence"]) for row in ensemble] == pytest.approx(mean.max(axis=1), abs=1e-3)
    certain = numpy.sort(mean, axis=1)[:, -1] - numpy.sort(mean, axis=1)[:, -2] > 1e-3
    expected = [classes[number] for number in mean.argmax(axis=1)]
    assert [row["class"] for row, sure in zip(ensemble, certain, strict=True) if sure] == [
        name for name, sure in zip(expected, certain, strict=True) if sure
    ]
    alone = predicted(tmp_path, within, runs[0])
    assert alone != ensemble
    assert predicted(tmp_path, within, runs[0], runs[0]) == alone
    assert predicted(tmp_path, within, *reversed(runs))[0]["class"] == ensemble[0]["class"]


def test_ensemble_of_unequal_runs_is_refused(tmp_path: Path, within: Within) -> None:
    one, larger = run(tmp_path, within, "one"), run(tmp_path, within, "larger", "dataset.size=16")
    save_test_images(one, tmp_path / "images")
    other = tmp_path / "other"
    shutil.copytree(one, other)
    about = json.loads((other / "run.json").read_text())
    about["dataset"]["classes"][0] = "zero"
    (other / "run.json").write_text(json.dumps(about))
    for run_, problem in ((larger, "image size or conversion"), (other, "classes")):
        done = within(tmp_path, "predict", str(one), str(run_), "images")
        assert done.returncode == 2
        assert f"{run_}: not the same {problem} as {one}; the runs of an ensemble must agree in this" in done.stderr
        assert done.stdout == ""
