"""Test folds: each label is held out once, sizes differ by at most one, and invalid settings are refused."""

import itertools
import json
from pathlib import Path

import numpy
import pytest
from PIL import Image

from semisup.config.run_id import run_id
from semisup.core.folds import hold_out_fold
from semisup.dataset import SPLITS, Data
from semisup.errors import SettingError
from tests.conftest import Program, checked
from tests.dataset import settings, watch

CLASSES = ("apple", "bread", "cake")


def read(name: str, *overrides: str) -> Data:
    dataset = settings(name, *overrides)
    return dataset.read(dataset.inspect(), watch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder with 7 labeled and 2 test images of three classes and 5 unlabeled ones, without validation images."""
    for number, name in enumerate(CLASSES):
        for image in range(9):
            part = "training/labeled" if image < 7 else "testing"
            path = tmp_path / f"photos/{part}/{name}/{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 20), (80 * number, 25 * image, 0)).save(path)
    for image in range(5):
        path = tmp_path / f"photos/training/unlabeled/{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 20), (10, 10 * image, 250)).save(path)
    return tmp_path / "photos"


def folder(root: Path, *overrides: str) -> list[str]:
    return [f"dataset.root={root}", "dataset.size=16", "dataset.workers=1", "dataset.cache=null", *overrides]


def folds(count: int, fold: int) -> list[str]:
    return [f"dataset.folds={count}", f"dataset.fold={fold}"]


def test_folds_hold_out_each_image_once_and_differ_by_one() -> None:
    labeled = [numpy.arange(count) for count in (7, 5, 11)]
    parts = [hold_out_fold(labeled, CLASSES, 5, fold) for fold in range(5)]
    for number, images in enumerate(labeled):
        held_out = [part[number].tolist() for part in parts]
        assert sorted(itertools.chain(*held_out)) == images.tolist()
        assert max(map(len, held_out)) - min(map(len, held_out)) <= 1
        assert all(len(each) < len(images) for each in held_out)
    sizes = [sum(map(len, part)) for part in parts]
    assert sum(sizes) == 23
    assert max(sizes) - min(sizes) <= 1


def test_folds_of_digits_partition_the_labels_and_leave_the_other_splits() -> None:
    base = ["dataset.labels_per_class=6", "dataset.validation_share=0"]
    data = [read("digits", *base, *folds(5, fold)) for fold in range(5)]
    labels = {*data[0].labeled.paths, *data[0].validation.paths}
    assert len(labels) == 60
    assert sorted(path for each in data for path in each.validation.paths) == sorted(labels)
    for each in data:
        assert {*each.labeled.paths, *each.validation.paths} == labels
        assert not set(each.labeled.paths) & set(each.validation.paths)
        assert numpy.bincount(each.validation.targets).min() >= 1
        assert len(each.validation) == 12
        assert each.test.paths == data[0].test.paths
        assert each.unlabeled.paths == data[0].unlabeled.paths
    assert len({each.fingerprint for each in data}) == 5
    assert data[0].test.paths == read("digits").test.paths


def test_split_seed_draws_other_folds() -> None:
    base = ["dataset.labels_per_class=5", "dataset.validation_share=0", *folds(5, 0)]
    first, same, other = (read("digits", *base, f"dataset.split_seed={seed}") for seed in (1, 1, 2))
    assert first.validation.paths == same.validation.paths
    assert set(first.validation.paths) != set(other.validation.paths)


def test_folds_of_a_folder_without_validation_images(root: Path) -> None:
    data = [read("folder", *folder(root, *folds(3, fold))) for fold in range(3)]
    assert sorted(path for each in data for path in each.validation.paths) == sorted(
        {*data[0].labeled.paths, *data[0].validation.paths}
    )
    for each in data:
        assert [len(getattr(each, split)) for split in SPLITS] == [14, 5, 7, 6]
        for split in ("labeled", "validation"):
            images = getattr(each, split)
            for path, pixels, target in zip(images.paths, images.pixels, images.targets.tolist(), strict=True):
                assert path.split("/")[-2] == CLASSES[target]
                assert pixels[:, 0, 0].tolist() == [80 * target, 25 * int(Path(path).stem), 0]
    assert numpy.bincount(data[0].validation.targets).min() >= 2
    few = read("folder", *folder(root, *folds(2, 1), "dataset.labels_per_class=4"))
    assert [len(getattr(few, split)) for split in SPLITS] == [6, 5 + 9, 6, 6]
    assert few.unlabeled.targets.tolist() == [-1] * 14
    assert len(set(few.hidden_targets.tolist())) == 4, "the other labels are the hidden classes"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            folds(1, 0),
            "dataset.folds=1: must be at least 2: with one fold, no labeled image would be left for training",
        ),
        (folds(0, 0), "dataset.folds=0: must be at least 2"),
        (
            folds(5, 5),
            "dataset.fold=5: must be 0 to 4 with dataset.folds=5; a sweep over dataset.fold=0,1,2,3,4 trains all folds",
        ),
        (folds(5, -1), "dataset.fold=-1: must be 0 to 4 with dataset.folds=5; a sweep over dataset.fold=0,1,2,3,4"),
        (["dataset.folds=5"], "dataset.fold=null: must be 0 to 4 with dataset.folds=5"),
        (["dataset.fold=0"], "dataset.fold=0: needs dataset.folds; type dataset.folds=5, or dataset.fold=null"),
    ],
)
@pytest.mark.parametrize("name", ["digits", "folder", "fashion_mnist", "eurosat", "food101"])
def test_folds_out_of_range_are_refused(name: str, overrides: list[str], message: str, root: Path) -> None:
    place = [] if name == "digits" else [f"dataset.root={root}"]
    share = [] if name == "folder" else ["dataset.validation_share=0"]
    with pytest.raises(SettingError) as error:
        settings(name, *place, *share, *overrides)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("name", ["digits", "fashion_mnist", "eurosat", "food101"])
def test_folds_beside_a_validation_share_are_refused(name: str) -> None:
    place = [] if name == "digits" else ["dataset.root=x"]
    with pytest.raises(
        SettingError,
        match=r"^dataset\.folds=5: cross-validation is for data without a validation set, but "
        r"dataset\.validation_share=0\.15? gives one; type dataset\.validation_share=0, or leave dataset\.folds out$",
    ):
        settings(name, *place, *folds(5, 0))


def test_folds_beside_a_validation_folder_are_refused(root: Path) -> None:
    for name in CLASSES:
        (root / "validation" / name).mkdir(parents=True)
        Image.new("RGB", (24, 20), (1, 2, 3)).save(root / "validation" / name / "0.png")
    with pytest.raises(
        SettingError,
        match=r"^dataset\.folds=5: cross-validation is for data without a validation set, but "
        r"dataset\.validation=validation gives one; type dataset\.validation=null, or leave dataset\.folds out$",
    ):
        settings("folder", *folder(root, *folds(5, 0))).inspect()
    data = read("folder", *folder(root, *folds(7, 0), "dataset.validation=null"))
    assert [len(getattr(data, split)) for split in SPLITS] == [18, 5, 3, 6]


def test_folds_with_fewer_validation_images_are_refused(root: Path) -> None:
    with pytest.raises(SettingError, match=r"^dataset\.validation_per_class=1: must be null without a folder of valid"):
        settings("folder", *folder(root, *folds(5, 0), "dataset.validation_per_class=1"))
    with pytest.raises(
        SettingError, match=r"^dataset\.validation_per_class=1: must be null with dataset\.validation_s"
    ):
        settings("digits", *folds(5, 0), "dataset.validation_share=0", "dataset.validation_per_class=1")


def test_more_folds_than_labels_of_a_class_are_refused(root: Path) -> None:
    (root / "training/labeled/bread/0.png").unlink()
    with pytest.raises(
        SettingError,
        match=r"^dataset\.folds=7: class bread has only 6 labeled images; type dataset\.folds=6, or fewer$",
    ):
        settings("folder", *folder(root, *folds(7, 0))).inspect()
    with pytest.raises(
        SettingError,
        match=r"^dataset\.folds=2: class 0 has only 1 labeled image; cross-validation needs at least 2 of each class$",
    ):
        settings("digits", *folds(2, 0), "dataset.validation_share=0", "dataset.labels_per_class=1").inspect()


def test_error_without_validation_images_suggests_folds(root: Path, program: Program) -> None:
    assert settings("folder", *folder(root)).inspect().counts["validation"] == 3, "a share is drawn"
    status, output = program("train", "dataset.validation_share=0", "tracking=none", "output_root=out")
    assert status == 2
    assert (
        "has no validation images, by which a run selects its best model; type dataset.folds=5 dataset.fold=0" in output
    )


def test_folds_change_the_run_id_only_where_they_are_set() -> None:
    plain = checked("dataset.validation_share=0").config
    without = plain | {"dataset": {k: v for k, v in plain["dataset"].items() if k not in ("folds", "fold")}}
    assert run_id(plain) == run_id(without)
    ids = [checked("dataset.validation_share=0", *folds(count, 0)).id for count in (2, 3)]
    ids += [checked("dataset.validation_share=0", *folds(3, 1)).id]
    assert len({run_id(plain), *ids}) == 4
    assert [each.split("-")[-2] for each in ids] == ["fold0", "fold0", "fold1"]
    assert "fold" not in run_id(plain)


def test_run_with_folds_is_trained_on_the_command_line(root: Path, tmp_path: Path, program: Program) -> None:
    words = ["output_root=out", "tracking=none", "plots=false", "train.steps=4", "name=one", "dataset=folder"]
    status, output = program("train", *words, *folder(root, *folds(3, 1)))
    assert status == 0, output
    (run,) = (tmp_path / "out/one").iterdir()
    assert "-fold1-" in run.name
    counts = json.loads((run / "run.json").read_text())["dataset"]["counts"]
    assert counts == {"labeled": 14, "unlabeled": 5, "validation": 7, "test": 6}
