"""`semisup label` on a finished run of a small folder of photographs."""

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest
from PIL import Image

from semisup.core.csv_cells import FORMULA_STARTS, restore_cell
from semisup.dataset import image_files
from tests.cli.test_train import digests, only_run, semisup
from tests.conftest import checked

pytest.importorskip("cleanlab", reason="needs the extra `label`")

WORDS = ("dataset=folder", "dataset.root=photos", "dataset.size=16", "dataset.workers=1", "train.batch_size=4")
EAGER = ("method.gate=0", "method.refresh_every=1", "threshold.tau=0.4", "train.epochs=3", "model.widths=[4,8]")
CLASSES = ("-plain", "=cmd|' C'!A0", "ünï & <b>")


def photos(root: Path) -> Path:
    """Three classes of noise with different brightness; names with spaces, letters and formula characters."""
    for split, count in (("training/labeled", 5), ("training/unlabeled", 8), ("validation", 4)):
        for number, name in enumerate(CLASSES):
            for each in range(count):
                folder = root / split / (f"@sub {number}" if "unlabeled" in split else name)
                folder.mkdir(parents=True, exist_ok=True)
                noise = Image.effect_noise((16, 16), 40).point(lambda value, n=number: value // 3 + 80 * n)
                noise.save(folder / f"+{split[:3]} ü,{each}.png")
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("label")
    photos(place / "photos")
    done = semisup(place, "train", *WORDS, *EAGER, "plots=false", "tracking=none")
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def labeled(trained: Path) -> Path:
    """A folder in which a run was trained and labeling files were written."""
    before = digests(trained / "photos")
    done = semisup(trained, "label", str(only_run(trained)), "--output", "out", "--next", "7")
    assert done.returncode == 0, done.stderr
    assert digests(trained / "photos") == before
    assert "labeling files: out" in done.stdout
    return trained


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert not [cell for row in rows for cell in row.values() if cell.startswith(FORMULA_STARTS)], path
    return [{key: restore_cell(cell) for key, cell in row.items()} for row in rows]


def last_selection(run: Path) -> dict[str, tuple[str, float]]:
    rows = rows_of(run / "pseudo_labels.csv")
    last = [row for row in rows if row["round"] == rows[-1]["round"] and row["kept"] == "1"]
    return {row["path"]: (row["class"], round(float(row["confidence"]), 6)) for row in last}


def test_pseudo_labels_are_those_that_the_run_selected(labeled: Path) -> None:
    rows = rows_of(labeled / "out/pseudo_labels.csv")
    assert [*rows[0]] == ["file", "class", "confidence"]
    assert {row["file"]: (row["class"], float(row["confidence"])) for row in rows} == last_selection(only_run(labeled))
    links = {path for path in (labeled / "out/pseudo_labels").rglob("*") if path.is_symlink()}
    assert len(links) == len(rows)
    for row in rows:
        source = labeled / "photos" / row["file"]
        inside = source.relative_to(labeled / "photos/training/unlabeled")
        assert (labeled / "out/pseudo_labels" / row["class"] / inside).resolve() == source.resolve()


def test_images_to_label_are_ranked_and_wait_for_a_class(labeled: Path) -> None:
    rows = rows_of(labeled / "out/next.csv")
    assert [*rows[0]] == ["file", "class", "suggested", "confidence", "score"]
    assert len({row["file"] for row in rows}) == 7
    assert {row["class"] for row in rows} == {""}
    assert {row["suggested"] for row in rows} <= set(CLASSES)
    assert all((labeled / "photos" / row["file"]).is_file() for row in rows)
    page = (labeled / "out/next.html").read_text()
    assert page.count("data:image/png") >= 7
    assert "<b>" not in page


def test_labels_that_look_wrong_keep_the_given_class(labeled: Path) -> None:
    path = labeled / "out/suspicious.csv"
    assert path.read_text().splitlines()[0] == "file,class,suggested,confidence,score"
    rows = rows_of(path)
    for row in rows:
        assert row["file"].split("/")[:3] == ["training", "labeled", row["class"]]
        assert row["suggested"] in CLASSES
    assert (labeled / "out/suspicious_tasks.json").exists() == bool(rows)


def test_the_table_of_all_images_begins_with_those_to_look_at(labeled: Path) -> None:
    rows = rows_of(labeled / "out/labels.csv")
    first = [row for name in ("next", "suspicious") for row in rows_of(labeled / f"out/{name}.csv")]
    assert [(row["file"], row["class"]) for row in rows[: len(first)]] == [(row["file"], row["class"]) for row in first]
    files = {str(path.relative_to(labeled / "photos")): path for path in (labeled / "photos").rglob("*.png")}
    assert {row["file"] for row in rows} == files.keys()
    assert len(rows) == len(files)
    for row in rows:
        parts = row["file"].split("/")
        assert row["split"] == ("val" if parts[0] == "validation" else "train")
        assert row["class"] == ("" if "unlabeled" in parts else parts[-2])


def test_tasks_of_label_studio_agree_with_the_table(labeled: Path) -> None:
    rows, tasks = rows_of(labeled / "out/next.csv"), json.loads((labeled / "out/next_tasks.json").read_text())
    assert [task["data"]["file"] for task in tasks] == [row["file"] for row in rows]
    for row, task in zip(rows, tasks, strict=True):
        (prediction,) = task["predictions"]
        assert prediction["result"][0]["value"]["choices"] == [row["suggested"]]
        assert prediction["score"] == pytest.approx(float(row["confidence"]), abs=1e-6)
        assert task["data"]["url"].startswith("/data/local-files/?d=photos/training/unlabeled/%40sub%20")
        assert task["data"]["url"].isascii()


def test_suggestions_are_the_predictions_of_predict(labeled: Path) -> None:
    done = semisup(labeled, "predict", str(only_run(labeled)), "photos")
    predicted = {
        restore_cell(row["path"]): (restore_cell(row["class"]), float(row["confidence"]))
        for row in csv.DictReader(done.stdout.splitlines())
    }
    for row in rows_of(labeled / "out/next.csv"):
        name, confidence = predicted[row["file"]]
        assert (row["suggested"], float(row["confidence"])) == (name, pytest.approx(confidence, abs=1e-4))


def test_a_threshold_selects_predictions_of_the_best_model(labeled: Path) -> None:
    words = ("--threshold", "0.5", "--copies", "--no-check-labels", "--image-url", "http://host/", "--rule", "margin")
    done = semisup(labeled, "label", str(only_run(labeled)), "--output", "other", *words)
    assert done.returncode == 0, done.stderr
    rows, ranked = rows_of(labeled / "other/pseudo_labels.csv"), rows_of(labeled / "other/next.csv")
    assert {row["file"] for row in rows} == {row["file"] for row in ranked if float(row["confidence"]) >= 0.5}
    assert len(ranked) == 24, "all, because there are fewer than 50"
    scores = [float(row["score"]) for row in ranked]
    assert scores == sorted(scores, reverse=True)
    files = [path for path in (labeled / "other/pseudo_labels").rglob("*") if path.is_file()]
    assert len(files) == len(rows)
    assert not any(path.is_symlink() for path in files)
    assert not (labeled / "other/suspicious.csv").exists()
    assert json.loads((labeled / "other/next_tasks.json").read_text())[0]["data"]["url"].startswith("http://host/train")


def refused(place: Path, *words: str) -> str:
    """The line with which the command refuses these words; it writes nothing but the cache in outputs/."""
    before = {*os.listdir(place), "outputs"}
    done = semisup(place, "label", *words)
    assert done.returncode == 2, done.stdout
    assert {*os.listdir(place), "outputs"} == before
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("semisup label: ")]
    return line


def test_what_cannot_be_done_is_one_line(labeled: Path) -> None:
    run = str(only_run(labeled))
    assert "--output=out: exists already, and is not overwritten; type --output FOLDER" in refused(
        labeled, run, "--output", "out"
    )
    assert "must be at most 24" in refused(labeled, run, "--output", "new", "--next", "25")
    assert "--threshold=1.5: must be in [0, 1]" in refused(labeled, run, "--output", "new", "--threshold", "1.5")
    assert "dataset.unlabeled" in refused(labeled, run, "--output", "photos/training/unlabeled/new")
    assert "is a folder of runs; type semisup label outputs/runs/" in refused(
        labeled, "outputs/runs", "--output", "new"
    )
    assert "may not be set here" in refused(labeled, run, "--output", "new", "seed=3")
    assert "no such folder" in refused(labeled, run, "dataset.root=elsewhere", "--output", "new")


def test_data_that_moved_are_found_and_data_that_changed_are_refused(labeled: Path, tmp_path: Path) -> None:
    run = shutil.copytree(only_run(labeled), tmp_path / "run")
    shutil.copytree(labeled / "photos", tmp_path / "moved")
    done = semisup(tmp_path, "label", "run", "dataset.root=moved", "--no-folders")
    assert done.returncode == 0, done.stderr
    assert rows_of(run / "labeling/next.csv")
    shutil.rmtree(run / "labeling")
    changed = next((tmp_path / "moved/training/unlabeled").rglob("*.png"))
    Image.new("L", (16, 16), 7).save(changed)
    assert "have changed since this run" in refused(tmp_path, "run", "dataset.root=moved")
    changed.unlink()
    assert "have changed since this run" in refused(tmp_path, "run", "dataset.root=moved")
    assert not (run / "labeling").exists()


def test_unfinished_runs_and_damaged_records_are_refused(labeled: Path, tmp_path: Path) -> None:
    run = shutil.copytree(only_run(labeled), tmp_path / "run")
    root = f"dataset.root={labeled / 'photos'}"
    (run / "pseudo_labels.csv").write_text("round,path\n1,2\n")
    assert "is damaged, or belongs to another run" in refused(tmp_path, "run", root)
    (run / "pseudo_labels.csv").unlink()
    done = semisup(tmp_path, "label", "run", root, "--no-check-labels")
    assert done.returncode == 0, done.stderr
    assert "pseudo_labels.csv  not written: the run has no pseudo-labels; add --threshold 0.9 to use" in done.stdout
    assert not (run / "labeling/pseudo_labels.csv").exists()
    assert rows_of(run / "labeling/next.csv")
    (run / "summary.json").unlink()
    assert "the run is not finished" in refused(tmp_path, "run", root)


@pytest.mark.parametrize("words", [("dataset=digits",), (*WORDS, "dataset.unlabeled=null")])
def test_runs_without_image_files_or_unlabeled_images_are_refused(
    trained: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "photos").symlink_to(trained / "photos")
    more = ("method=supervised", "train.epochs=1", "model.widths=[4,8]", "plots=false", "tracking=none")
    done: Any = semisup(tmp_path, "train", *words, *more)
    assert done.returncode == 0, done.stderr
    problem = "its images are not separate files" if "dataset=digits" in words else "no unlabeled images"
    assert problem in refused(tmp_path, str(only_run(tmp_path)))


def test_labels_come_back_as_a_table(labeled: Path, tmp_path: Path) -> None:
    """The user fills in the images to label and trains on the table; names and classes are any text."""
    root = Path(shutil.copytree(labeled / "photos", tmp_path / "photos"))
    table = pandas.read_csv(labeled / "out/labels.csv", keep_default_na=False).set_index("file")
    before = {"labeled": 15, "unlabeled": 24, "validation": 12, "test": 0}
    assert counts_of(root, table) == before
    new = pandas.read_csv(labeled / "out/next.csv").set_index("file")
    new["class"] = new["suggested"]
    table.update(new[["class"]])
    assert counts_of(root, table) == before | {"labeled": 22, "unlabeled": 17}


def test_images_inside_an_archive_are_not_files(trained: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", trained / "photos")
    for root, count in ((archive, 0), (trained / "photos", 51)):
        dataset = checked("dataset=folder", f"dataset.root={root}", "dataset.size=16").dataset
        files = image_files(dataset.inspect())
        assert len(files) == count
        assert all(Path(path).is_file() for path in files.values())


def counts_of(root: Path, table: pandas.DataFrame) -> dict[str, int]:
    """The number of images of each split if this table is the data set."""
    table.to_csv(root / "labels.csv")
    info = checked("dataset=folder", f"dataset.root={root / 'labels.csv'}", "dataset.size=16").dataset.inspect()
    assert sorted(info.classes) == sorted(CLASSES)
    return dict(info.counts)
