"""Test that names of files and folders are never formulas in the CSV files that a run and `predict` write."""

import csv
import io
import shutil
from pathlib import Path

from PIL import Image

from semisup.analysis.run_history import read_predictions
from semisup.core.csv_cells import FORMULA_STARTS, restore_cell
from semisup.runner.prediction_table import PredictionColumns, csv_parts
from tests.cli.test_train import only_run
from tests.conftest import Within

EVIL = "=cmd|' C calc'!A0"


def text_of(path: Path) -> io.StringIO:
    return io.StringIO(path.read_bytes().decode(), newline="")


def test_csv_cells_are_no_formulas_and_names_are_restored(tmp_path: Path, within: Within) -> None:
    """Train and predict with classes and images whose names begin with formula characters."""
    photos = tmp_path / "photos"
    for split, count in (("training/labeled", 4), ("training/unlabeled", 6), ("validation", 3)):
        for number, name in enumerate(("-plain", EVIL)):
            for each in range(count):
                folder = photos / split / ("" if "unlabeled" in split else name)
                folder.mkdir(parents=True, exist_ok=True)
                pixels = Image.effect_noise((16, 16), 40 + 60 * number).point(
                    lambda value, n=number: value // 2 + 90 * n
                )
                pixels.save(folder / f"@image{split[:5].replace('/', '')}{number}{each}.png")
    words = ("dataset=folder", "dataset.root=photos", "dataset.size=16", "dataset.workers=1", "train.batch_size=4")
    eager = ("method.gate=0", "method.refresh_every=1", "threshold.tau=0.1", "train.epochs=3", "model.widths=[4,8]")
    done = within(tmp_path, "train", *words, *eager, "plots=false", "tracking=none")
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    shutil.copytree(photos / "training" / "unlabeled", tmp_path / "images" / "+folder")
    (tmp_path / "images" / "@notes.txt").touch()
    done = within(tmp_path, "predict", str(run), "images", "--output", "classes.csv")
    assert done.returncode == 0, done.stderr
    assert "semisup predict: ignored 1 file: 1 .txt\n" in done.stderr
    for path in (*run.glob("*.csv"), tmp_path / "classes.csv"):
        rows = list(csv.reader(text_of(path)))
        assert len(rows) > 1
        assert not [cell for row in rows for cell in row if cell.startswith(FORMULA_STARTS)], path
    predicted = list(csv.DictReader(text_of(tmp_path / "classes.csv")))
    assert {restore_cell(row["class"]) for row in predicted if not row["problem"]} <= {"-plain", EVIL}
    assert restore_cell(predicted[-1]["path"]) == "@notes.txt"
    assert all((tmp_path / "images" / restore_cell(row["path"])).is_file() for row in predicted)
    assert {each.target for each in read_predictions(run, "validation") or []} == {"-plain", EVIL}


def test_header_with_a_class_name_that_is_not_unicode_can_be_written() -> None:
    header = next(csv_parts(PredictionColumns(["=a", "b\udcff"], probabilities=True), []))
    assert header.encode().decode() == "path,class,confidence,problem,probability/=a,probability/b\\udcff\n"
