"""Test metrics if a class has no test images: none is NaN, and all equal those of scikit-learn."""

import csv
import json
import warnings
from pathlib import Path

import numpy
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from tests.conftest import Program

CLASSES = ("apple", "bread", "cake")


@pytest.mark.filterwarnings("ignore:.*no image of class cake")
def test_class_without_test_images_has_no_nan_anywhere(program: Program, tmp_path: Path) -> None:
    draw = numpy.random.default_rng(0)
    for part, classes in (("training/labeled", CLASSES), ("validation", CLASSES), ("testing", CLASSES[:2])):
        for name in classes:
            for number in range(4):
                path = tmp_path / "photos" / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=numpy.uint8)).save(path)
    words = ["dataset=folder", "dataset.root=photos", "dataset.size=16", "dataset.unlabeled=null", "dataset.workers=1"]
    words += ["method=supervised", "train.steps=3", "tracking=none", "output_root=out", "name=mine"]
    status, output = program("train", *words)
    assert status == 0, output
    (run,) = tmp_path.glob("out/mine/supervised*")
    status, compared = program("compare", "out/mine")
    assert status == 0, compared
    status, shown = program("show", str(run))
    assert status == 0, shown
    assert "nan" not in f"{output} {compared} {shown}".lower().split()

    with open(run / "predictions.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    true, predicted = [row["class"] for row in rows], [row["predicted"] for row in rows]
    assert set(true) == {"apple", "bread"}
    text = (run / "summary.json").read_text()
    assert "NaN" not in text
    summary = json.loads(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about classes without images
        balanced = balanced_accuracy_score(true, predicted)
    assert summary["test/balanced_accuracy"] == pytest.approx(balanced)
    assert summary["test/macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"))
    recall = recall_score(true, predicted, labels=list(CLASSES), average=None, zero_division=numpy.nan)
    assert summary["recall"]["test"][:2] == pytest.approx(recall[:2].tolist())
    assert numpy.isnan(recall[2])
    assert summary["recall"]["test"][2] is None
