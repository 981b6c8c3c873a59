"""Classes that are labeled nowhere: `dataset.only_classes`, and the class `other` in tables of true classes."""

import hashlib
from pathlib import Path

import pytest

from semisup.config.run_id import run_id
from semisup.config.schema import RunConfig, validate
from semisup.dataset import SPLITS, Data
from semisup.errors import SettingError
from tests.conftest import checked
from tests.dataset import settings, watch
from tests.dataset.test_folder import read as read_folder
from tests.dataset.test_folder import root
from tests.dataset.test_public import NAMES, read, written

__all__ = ["root"]


def read_digits(*overrides: str) -> Data:
    dataset = settings("digits", *overrides)
    info = dataset.inspect()
    data = dataset.read(info, watch)
    assert info.counts == {split: len(getattr(data, split)) for split in SPLITS}
    return data


def check_subset(whole: Data, some: Data, kept: list[int]) -> None:
    """Check that `some` has the classes `kept` of `whole`, and all its training images of other classes unlabeled."""
    assert some.classes == tuple(whole.classes[number] for number in kept)
    for split in ("labeled", "validation", "test"):
        before, after = getattr(whole, split), getattr(some, split)
        pairs = zip(before.paths, before.targets.tolist(), strict=True)
        expected = [(path, kept.index(target)) for path, target in pairs if target in kept]
        assert list(zip(after.paths, after.targets.tolist(), strict=True)) == expected
    labels = zip(whole.labeled.paths, whole.labeled.targets.tolist(), strict=True)
    others = [path for path, target in labels if target not in kept]
    assert sorted(some.unlabeled.paths) == sorted([*whole.unlabeled.paths, *others])
    truth = dict(zip(whole.unlabeled.paths, whole.hidden_targets.tolist(), strict=True))
    numbers = {target: number for number, target in enumerate(kept)} | {-1: -1}
    for path, target in zip(some.unlabeled.paths, some.hidden_targets.tolist(), strict=True):
        assert target == (len(kept) if path in others else numbers.get(truth[path], len(kept)))
    assert set(some.unlabeled.targets.tolist()) <= {-1}
    assert some.fingerprint != whole.fingerprint


def test_digits_with_some_classes() -> None:
    whole, some = read_digits(), read_digits("dataset.only_classes=[3,0,7]")
    check_subset(whole, some, [0, 3, 7])
    assert len(some.labeled) == 12
    position = some.unlabeled.paths.index(whole.unlabeled.paths[5])
    assert (some.unlabeled.pixels[position] == whole.unlabeled.pixels[5]).all()


@pytest.mark.parametrize("name", NAMES)
def test_public_data_sets_with_some_classes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(name, tmp_path, monkeypatch)
    whole = read(name, tmp_path)
    first, last = whole.classes[0], whole.classes[-1]
    some = read(name, tmp_path, f"dataset.only_classes=['{last}','{first}']")
    check_subset(whole, some, [0, len(whole.classes) - 1])


def test_folders_with_some_classes(root: Path) -> None:
    (root / "truth.csv").write_text("file,class\n00/0.png,apple\n00/1.png,bread\n00/2.png,other\n")
    words = ["dataset.truth=truth.csv", "dataset.image_folder=training/unlabeled", "dataset.labels_per_class=3"]
    whole, some = read_folder(root, *words), read_folder(root, *words, "dataset.only_classes=[bread,cake]")
    truth = dict(zip(whole.unlabeled.paths, whole.hidden_targets.tolist(), strict=True))
    assert [truth[f"training/unlabeled/00/{image}.png"] for image in range(4)] == [0, 1, 3, -1], "3 = K: no class"
    check_subset(whole, some, [1, 2])


def test_folds_of_some_classes_hold_out_images_of_these_classes() -> None:
    words = ["dataset.validation_share=0", "dataset.folds=2", "dataset.fold=0"]
    check_subset(read_digits(*words), read_digits(*words, "dataset.only_classes=[1,2]"), [1, 2])


def test_run_id_counts_only_classes_if_it_is_set() -> None:
    config = checked().config
    without = config | {"dataset": {key: value for key, value in config["dataset"].items() if key != "only_classes"}}
    assert run_id(config) == run_id(without)
    assert run_id(checked("dataset.only_classes=[1,2]").config) != run_id(config)
    assert checked("dataset.only_classes=[2,1]").id == checked("dataset.only_classes=[1,2]").id


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[1]", r"must be a list of two or more classes, as \[apple,banana\], or null$"),
        ("one", r"must be a list of two or more classes, as \[apple,banana\], or null$"),
        ("[1,1]", r"names a class twice$"),
        ("[1,2,x]", r"x is not a class of the data; its classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ("[0,1,2,3,4,5,6,7,8,9]", r"names every class, so that no unlabeled image is of another class; use"),
    ],
)
def test_invalid_lists_of_classes_are_refused(value: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read_digits(f"dataset.only_classes={value}")


def tail_of(root: Path, imbalance: float, *words: str) -> list[int]:
    truth = ["dataset.truth=truth.csv", "dataset.image_folder=training/unlabeled", "dataset.labels_per_class=2"]
    data = read_folder(root, *truth, f"dataset.imbalance_unlabeled={imbalance:g}", *words)
    assert data.unlabeled.targets.tolist() == [-1] * len(data.unlabeled)
    known = data.hidden_targets[data.hidden_targets >= 0]
    assert (data.hidden_targets < 0).sum() == 3, "images of unknown class stay"
    return known.bincount().tolist()


def test_unlabeled_images_of_a_folder_get_a_long_tail(root: Path) -> None:
    (root / "truth.csv").write_text("file,class\n00/0.png,apple\n00/1.png,cake\n")
    assert tail_of(root, 1) == [7, 6, 7]
    assert tail_of(root, 4) == [7, 3, 1]
    assert tail_of(root, -4) == [1, 3, 7]
    assert tail_of(root, -4, "dataset.only_classes=[apple,cake]") == [1, 7, 8], "other classes stay"


def test_long_tail_without_an_image_of_the_classes_is_refused(root: Path) -> None:
    names = [f"00/{path.name}" for path in sorted((root / "training/unlabeled/00").iterdir())]
    (root / "truth.csv").write_text("\n".join(["file,class", *(f"{name},other" for name in names)]))
    words = ["dataset.truth=truth.csv", "dataset.image_folder=training/unlabeled", "dataset.imbalance_unlabeled=3"]
    message = r"=3.0: no unlabeled image is known to be of one of the 3 classes; type dataset.imbalance_unlabeled=1$"
    with pytest.raises(SettingError, match=message):
        read_folder(root, *words)


def test_table_that_selects_images_is_part_of_the_run_id(root: Path) -> None:
    def checked_folder(table: str, *words: str) -> RunConfig:
        (root / "truth.csv").write_text(table)
        return checked("dataset=folder", f"dataset.root={root}", "dataset.truth=truth.csv", *words)

    tables = "file,class\n00/0.png,apple\n", "file,class\n00/0.png,cake\n"
    first, second = (checked_folder(table, "dataset.imbalance_unlabeled=2") for table in tables)
    assert first.id != second.id
    assert first.config["dataset"]["truth_sha256"] == hashlib.sha256(tables[0].encode()).hexdigest()
    with pytest.raises(SettingError, match=r"^dataset\.truth=truth\.csv: must be the table with sha256 "):
        validate(first.config)
    without = checked("dataset=folder", f"dataset.root={root}").id
    assert [checked_folder(table).id for table in tables] == [without, without]
    with pytest.raises(SettingError, match=r"^dataset\.truth_sha256=ab: must be null without dataset\.truth or with"):
        checked_folder(tables[0], "dataset.truth_sha256=ab")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset.imbalance_unlabeled=0.5"], r"imbalance_unlabeled=0.5: must be at least 1 .* or at most -1"),
        (["dataset.imbalance_unlabeled=2"], r"=2.0: selects unlabeled images by their true class, and none is known"),
        (
            ["dataset.imbalance_unlabeled=9", "dataset.labels_per_class=7"],
            r"selects no image of class bread, which has 1 known unlabeled image\(s\); use a smaller ratio, or 1$",
        ),
    ],
)
def test_impossible_long_tails_are_refused(root: Path, words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        read_folder(root, *words)
