"""Test that output of the program inside the image folder is never used as data."""

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
from PIL import Image

from semisup.images.ignored_files import OUTPUT_FOLDER
from semisup.images.scan import scan
from tests.conftest import Program

SHORT = (
    "dataset=folder",
    "dataset.size=8",
    "dataset.workers=1",
    "train.steps=2",
    "train.batch_size=2",
    "tracking=none",
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Folder with 4 labeled and 2 validation images of two classes and 6 unlabeled ones, all different."""
    counts = {"training/labeled/a": 4, "training/labeled/b": 4, "validation/a": 2, "validation/b": 2}
    counts["training/unlabeled"] = 6
    for number, (folder, count) in enumerate(counts.items()):
        for image in range(count):
            path = tmp_path / "photos" / folder / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 12), (50 * number, 30 * image, 9)).save(path)
    return tmp_path / "photos"


def trained(program: Program, photos: Path, *words: str) -> tuple[int, str]:
    return program("train", f"dataset.root={photos}", *SHORT, *words)


@pytest.mark.parametrize("key", ["unlabeled", "labeled", "validation"])
@pytest.mark.parametrize("inner", ["", "/results"])
def test_output_root_inside_the_images_is_refused(program: Program, photos: Path, key: str, inner: str) -> None:
    folder = photos / {"unlabeled": "training/unlabeled", "labeled": "training/labeled"}.get(key, key)
    before = sorted(photos.rglob("*"))
    code, text = trained(program, photos, f"output_root={folder}{inner}")
    assert code == 2
    assert f"output_root={folder}{inner}: must not be inside dataset.{key} ({folder})" in text
    assert "Traceback" not in text
    assert sorted(photos.rglob("*")) == before, "refused before anything is written"


def test_default_output_root_is_refused_in_a_folder_of_images(
    program: Program, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "training/unlabeled")
    code, text = trained(program, photos)
    assert code == 2
    assert "output_root=outputs: must not be inside dataset.unlabeled" in text


def test_cache_inside_the_images_is_refused_through_a_link(program: Program, photos: Path, tmp_path: Path) -> None:
    os.symlink(photos / "training", tmp_path / "link")
    code, text = trained(program, photos, f"dataset.cache={tmp_path}/link/unlabeled/cache")
    assert code == 2
    assert "dataset.cache=" in text
    assert "must not be inside dataset.unlabeled" in text


def test_run_directories_among_the_images_change_no_result(program: Program, photos: Path, tmp_path: Path) -> None:
    assert trained(program, photos, "output_root=first", "plots=true")[0] == 0
    assert program("compare", "first/runs")[0] == 0
    shutil.move(tmp_path / "first", photos / "training/unlabeled/old")
    moved = photos / "training/unlabeled/old/runs"
    assert len([*moved.rglob("*.png")]) > 2, "plots, which are images"
    (moved / "wandb/offline-run-1/files/media").mkdir(parents=True)
    shutil.copy(moved / "comparison.png", moved / "wandb/offline-run-1/files/media/plot.png")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, text = trained(program, photos, "output_root=second", "plots=true")
    assert code == 0, text
    assert "ignored 3 files: 1 .csv, 1 .html, 1 .json" in text
    assert text.count("3 folder(s) of semisup's own output") == 1
    (again,), (run,) = (tmp_path.glob("second/runs/*-*"), moved.glob("*-*"))
    reports = [json.loads((each / "data_report.json").read_text()) for each in (run, again)]
    assert [report["ignored"].get(OUTPUT_FOLDER) for report in reports] == [None, 3]
    counts = [json.loads((each / "run.json").read_text())["dataset"] for each in (run, again)]
    assert counts[0] == counts[1], "fingerprint and counts"


def test_images_beside_an_output_folder_are_found(photos: Path) -> None:
    unlabeled = photos / "training/unlabeled"
    shutil.copy(unlabeled / "0.png", unlabeled / "comparison.png")
    (unlabeled / "wandb").mkdir()
    shutil.copy(unlabeled / "0.png", unlabeled / "wandb/tree.png")
    (unlabeled / "config.yaml").write_text("a user's own")
    found = scan(photos, unlabeled, follow_symlinks=False)
    assert len(found.files) == 8
    assert found.ignored == {"other suffix": 1}
