"""Rejection of images from the command line: files of a run, `show`, the report, `compare` and `predict --reject`."""

import csv
import json
import math
from pathlib import Path

import numpy
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from semisup.analysis.comparison import compare_runs
from semisup.analysis.runs import read_run
from semisup.dataset.digits import load_digits_csv
from semisup.report.export import run_lines
from tests.conftest import Program, Within, checked
from tests.report.run_maker import make, plain_of

SMALL = (
    *("model.widths=[8,16]", "train.epochs=6", "plots=false", "tracking=none", "method.gate=0", "threshold.tau=0"),
    "collapse.warn_below=null",
)
OPEN = ("dataset.only_classes=[0,1,2,3,4,5]", "reject=energy")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    pixels, targets = load_digits_csv()
    (tmp_path / "images").mkdir()
    for number in range(40):
        image = Image.fromarray(numpy.rint(pixels[number] * (255 / 16)).astype(numpy.uint8))
        image.save(tmp_path / f"images/{targets[number]}-{number:02d}.png")
    (tmp_path / "images/notes.txt").write_text("text")
    return tmp_path / "images"


def test_run_that_rejects_images_has_scores_in_all_its_outputs(program: Program, tmp_path: Path, images: Path) -> None:
    status, output = program("train", *SMALL, *OPEN)
    assert status == 0, output
    (run,) = (tmp_path / "outputs/runs").iterdir()
    assert "-energy-keep0.95-temperature1-" in run.name
    summary = json.loads((run / "summary.json").read_text())
    with open(run / "pseudo_labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in rows if int(row["round"]) == summary["pseudo/round"]]
    rejected = [row for row in rows if float(row["score"]) < summary["pseudo/reject_limit"]]
    assert len(rejected) == pytest.approx(summary["pseudo/rejected"] * len(rows))
    assert 0 < len(rejected) < len(rows)
    assert {row["kept"] for row in rejected} == {"0"}
    assert 0 < summary["pseudo/other"] < 1
    dataset = checked(*OPEN).dataset
    data = dataset.read(dataset.inspect(), lambda items, description, total: items)
    truth = dict(zip(data.unlabeled.paths, data.hidden_targets.tolist(), strict=True))
    is_of_a_class = [truth[row["path"]] < len(data.classes) for row in rows]
    expected = roc_auc_score(is_of_a_class, [float(row["score"]) for row in rows])
    assert summary["pseudo/reject_auroc"] == pytest.approx(expected)
    assert 0 <= expected <= 1

    status, output = program("show", str(run))
    assert status == 0, output
    assert output.splitlines()[-1] == f"images that do not seem to belong to a class: {run / 'report.html'}#other"
    title = next(line for line in output.splitlines() if "threshold" in line and "round" in line)
    assert title.split()[-5:] == ["entropy", "rejected", "limit", "other", "AUROC"]
    page = (run / "report.html").read_text()
    assert '<h3 id="other">Images that do not seem to belong to a class' in page
    assert f">{100 * summary['pseudo/reject_auroc']:.1f}</td>" in page
    lowest = min(rows, key=lambda row: float(row["score"]))
    assert f"<small>score {float(lowest['score']):.3g}</small>" in page

    status, output = program("predict", str(run), str(images), "--reject", "--output", "table.csv")
    assert status == 0, output
    with open("table.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["path", "class", "confidence", "problem", "score", "rejected"]
    count, limit = sum(row["rejected"] == "1" for row in table), summary["best/reject_limit"]
    assert f"40 images: table.csv; {count} rejected, with a score below {limit:.4g}" in output.splitlines()
    for row in table[:40]:
        assert row["rejected"] == str(int(float(row["score"]) < summary["best/reject_limit"]))
    assert (table[40]["score"], table[40]["rejected"]) == ("", "")

    status, output = program("predict", str(run), str(run), str(images), "--reject")
    assert status == 2
    assert "scores for rejection belong to one model; give one run" in output


def test_predict_compares_images_with_the_stored_features_of_the_labeled_ones(
    program: Program, tmp_path: Path, images: Path
) -> None:
    """The limit is the score of a validation image, which predict computes again from the file of that image."""
    status, output = program("train", *SMALL, OPEN[0], "train.epochs=2", "reject=knn", "reject.k=3", "reject.keep=0.9")
    assert status == 0, output
    (run,) = (tmp_path / "outputs/runs").iterdir()
    limit = json.loads((run / "summary.json").read_text())["best/reject_limit"]
    dataset = checked(OPEN[0]).dataset
    validation = dataset.read(dataset.inspect(), lambda items, description, total: items).validation
    folder = tmp_path / "validation"
    folder.mkdir()
    for number, pixels in enumerate(validation.pixels.squeeze(1).numpy()):
        Image.fromarray(pixels).save(folder / f"{number:04d}.png")
    status, output = program("predict", str(run), str(folder), "--reject", "--embeddings", "--output", "table.csv")
    assert status == 0, output
    with open("table.csv", newline="") as file:
        table = list(csv.DictReader(file))
    scores = sorted((float(row["score"]) for row in table), reverse=True)
    assert scores[math.ceil(0.9 * len(scores)) - 1] == pytest.approx(limit, abs=1e-6)
    assert {row["rejected"] for row in table} == {"0", "1"}
    with numpy.load(run / "labeled_features.npz") as stored:
        labeled = stored["features"]
    own = numpy.array([float(table[0][f"embedding/{place}"]) for place in range(labeled.shape[1])])
    unit = labeled / numpy.linalg.norm(labeled, axis=1, keepdims=True)
    distances = numpy.linalg.norm(unit - own / numpy.linalg.norm(own), axis=1)
    assert float(table[0]["score"]) == pytest.approx(-sorted(distances)[2], abs=1e-4)

    (run / "labeled_features.npz").unlink()
    status, output = program("predict", str(run), str(images), "--reject")
    assert status == 2
    assert "labeled_features.npz: is missing, as in runs of earlier versions" in output


def test_show_and_comparison_have_the_limit(program: Program, tmp_path: Path) -> None:
    run = make(tmp_path / "mine", plain_of("method=fixmatch", "reject=energy"), labelings=[(0.5, 0.9)])
    row = {"step": 90, "epoch": 9, "pseudo/round": 2, "pseudo/rejected": 0.25, "pseudo/reject_limit": -1234.5678}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row | {"pseudo/coverage": 0.5}) + "\n")
    status, output = program("show", str(run))
    assert status == 0, output
    first = next(number for number, line in enumerate(output.splitlines()) if line.split()[:1] == ["round"])
    title, early, last = output.splitlines()[first : first + 3]
    assert title.split()[-2:] == ["rejected", "limit"]
    assert (early.split()[-2:], last.split()[-3:]) == (["-", "-"], ["25.0", "%", "-1235"])
    (line,) = run_lines(compare_runs([read_run(run)]), tmp_path)
    assert line["pseudo/reject_limit"] == -1234.5678


def test_run_that_rejects_no_image_refuses_predict_reject(program: Program, images: Path) -> None:
    run = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"
    status, output = program("predict", str(run), str(images), "--reject")
    assert status == 2
    assert "was trained without rejecting images; train with reject=energy to use --reject" in output


def test_unsuitable_unlabeled_images_give_one_warning(within: Within, tmp_path: Path) -> None:
    words = [*SMALL, "train.epochs=1", "reject=max_logit"]
    done = within(tmp_path, "train", *words)
    assert done.returncode == 0, done.stderr
    assert "unlabeled images belong to the 10 classes, so reject can only remove images of these" in done.stderr
    done = within(tmp_path, "train", *words, "reject.limit=1000000.0", "train.epochs=2")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("reject.limit=1e+06 rejects all 1038 unlabeled images at step") == 1
