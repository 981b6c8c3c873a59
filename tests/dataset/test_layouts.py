"""Layouts of `dataset=folder`: which is detected, what it reads, and the errors for files of no or of two layouts."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from semisup.config.run_id import run_id
from semisup.dataset import Data, Dataset, DatasetInfo
from semisup.errors import DataError, SettingError
from tests.conftest import Program, checked
from tests.dataset import settings, watch

CLASSES = ("apple", "bread", "cake")


def folder(root: Path, *overrides: str) -> Dataset:
    fixed = [f"dataset.root={root}", "dataset.size=8", "dataset.workers=1", "dataset.cache=null"]
    return settings("folder", *fixed, *overrides)


def inspect(root: Path, *overrides: str) -> DatasetInfo:
    return folder(root, *overrides).inspect()


def read(root: Path, *overrides: str) -> Data:
    dataset = folder(root, *overrides)
    return dataset.read(dataset.inspect(), watch)


def names(info: DatasetInfo, split: str) -> set[str]:
    return {file.name for file in info.index.parts[split].files}


_colors = iter(range(1, 1 << 24, 997))


def fill(root: Path, places: Iterable[str], count: int) -> None:
    """Write images that all differ; a place is a folder, or a folder and the beginning of a name (`train/apple_`)."""
    for place in places:
        for number in range(count):
            path = root / (f"{place}{number}.png" if place.endswith("_") else f"{place}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            color = next(_colors)
            Image.new("RGB", (9, 9), (color & 255, color >> 8 & 255, color >> 16)).save(path)


def by_class(prefix: str) -> list[str]:
    return [f"{prefix}{name}" for name in CLASSES]


# Detection ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "val", "test", "unlabeled"),
        ("Training", "VALID", "Evaluation", "Unlabelled"),
        ("train/labeled", "validation", "testing", "train/unlabeled"),
        ("labeled", "val", "test", "labeled/unlabeled"),
    ],
)
def test_folders_of_sets_are_detected_under_their_usual_names(tmp_path: Path, parts: tuple[str, ...]) -> None:
    labeled, validation, test, unlabeled = parts
    for part, count in ((labeled, 4), (validation, 2), (test, 3)):
        fill(tmp_path, by_class(f"{part}/"), count)
    fill(tmp_path, [unlabeled, f"{unlabeled}/inner"], 3)
    (tmp_path / "notes").mkdir()
    info = inspect(tmp_path)
    assert info.classes == CLASSES
    assert info.counts == {"labeled": 12, "unlabeled": 6, "validation": 6, "test": 9}
    assert names(info, "labeled") == {f"{labeled}/{name}/{number}.png" for name in CLASSES for number in range(4)}
    (note,) = info.notes
    assert "read as folders of labeled, validation and test images" in note
    assert note.endswith("; not read: notes/")
    scanned = folder(tmp_path).scanned_folders()  # type: ignore[attr-defined]
    assert scanned["dataset.validation"] == tmp_path / validation


def test_class_folders_in_the_root_are_detected(tmp_path: Path) -> None:
    fill(tmp_path, by_class(""), 10)
    info = inspect(tmp_path)
    assert info.classes == CLASSES
    assert info.counts == {"labeled": 24, "unlabeled": 0, "validation": 6, "test": 0}
    assert info.notes[0].endswith("read as class folders: labeled images in the root; 3 classes: apple, bread, cake")
    assert info.notes[1] == (
        "no validation set was found: 6 of the 30 labeled images are chosen at random for it "
        "(dataset.validation_share=0.2 of each class, at least one image)"
    )
    fill(tmp_path, by_class("val/"), 2)
    fill(tmp_path, ["unlabeled", "more/raw"], 5)
    info = inspect(tmp_path, "dataset.unlabeled=[unlabeled,more/raw]")
    assert info.classes == CLASSES
    assert info.counts == {"labeled": 30, "unlabeled": 10, "validation": 6, "test": 0}


def test_classes_in_file_names_are_detected(tmp_path: Path) -> None:
    for part, count in (("training", 8), ("validation", 4), ("evaluation", 3)):
        fill(tmp_path, [f"{part}/{number}_" for number in (0, 1, 2, 10)], count)
    info = inspect(tmp_path)
    assert info.classes == ("0", "1", "10", "2"), "in the order of folders with these names"
    assert info.counts == {"labeled": 32, "unlabeled": 0, "validation": 16, "test": 12}
    part = info.index.parts["test"]
    for file, target in zip(part.files, part.targets, strict=True):
        assert Path(file.name).name.startswith(f"{info.classes[target]}_")
    assert "read as images with the class in the file name" in info.notes[0]
    assert info.notes[0].endswith("4 classes: 0, 1, 10, 2")


def test_classes_in_file_names_of_the_root(tmp_path: Path) -> None:
    fill(tmp_path, ["cat_", "dog_"], 10)
    fill(tmp_path, ["unlabeled"], 3)
    words = ["dataset.layout=file_names"]
    info = inspect(tmp_path, *words)
    assert info.classes == ("cat", "dog")
    assert info.counts == {"labeled": 16, "unlabeled": 3, "validation": 4, "test": 0}
    assert folder(tmp_path, *words).scanned_folders()["dataset.root"] == tmp_path  # type: ignore[attr-defined]


def test_beginnings_of_file_names_in_the_root_are_classes_only_if_they_are_numbers(tmp_path: Path) -> None:
    fill(tmp_path / "cameras", ["IMG_", "DSC_"], 5)
    message = (
        r"; if DSC, IMG are the classes, type dataset\.layout=file_names; if another .* as dataset\.class_pattern="
    )
    with pytest.raises(DataError, match=message):
        inspect(tmp_path / "cameras")
    fill(tmp_path / "cameras", ["test"], 2)
    with pytest.raises(DataError, match=message):
        inspect(tmp_path / "cameras")
    pattern = "dataset.class_pattern='(?P<class>[A-Z]+)_.*'"
    assert inspect(tmp_path / "cameras", pattern).classes == ("DSC", "IMG")
    fill(tmp_path / "numbers", ["3_", "07_"], 5)
    assert inspect(tmp_path / "numbers").classes == ("07", "3")


def test_pattern_of_the_user_reads_other_names(tmp_path: Path) -> None:
    fill(tmp_path, ["train/x-cat-_", "train/x-dog-_"], 5)
    pattern = "dataset.class_pattern='x-(?P<class>[a-z]+)-.*'"
    assert inspect(tmp_path, pattern).classes == ("cat", "dog")
    assert inspect(tmp_path, pattern, "dataset.layout=file_names").classes == ("cat", "dog")


def test_the_configured_folders_come_first(tmp_path: Path) -> None:
    fill(tmp_path, by_class("training/labeled/"), 3)
    fill(tmp_path, by_class("validation/"), 2)
    fill(tmp_path, ["training/unlabeled"], 2)
    fill(tmp_path, by_class("test/"), 2)
    info = inspect(tmp_path)
    assert info.counts == {"labeled": 9, "unlabeled": 2, "validation": 6, "test": 0}
    assert info.notes == ("test/ is not read; dataset.test=test makes it the test set",)
    assert inspect(tmp_path, "dataset.test=test").notes == ()
    (tmp_path / "validation").rename(tmp_path / "Val")
    assert inspect(tmp_path).counts == info.counts


def test_same_images_in_two_layouts_have_the_same_fingerprint(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        fill(tmp_path / "sets", by_class(f"{part}/"), count)
    configured = ["dataset.labeled=train", "dataset.validation=val", "dataset.test=test", "dataset.unlabeled=null"]
    detected = read(tmp_path / "sets")
    assert detected.fingerprint == read(tmp_path / "sets", "dataset.layout=folders", *configured).fingerprint
    fill(tmp_path / "classes", by_class(""), 5)
    configured = ["dataset.labeled=.", "dataset.unlabeled=null", "dataset.layout=folders"]
    assert read(tmp_path / "classes").fingerprint == read(tmp_path / "classes", *configured).fingerprint


# Errors ---------------------------------------------------------------------------------------------------------------


def test_two_layouts_at_once_are_refused(tmp_path: Path, program: Program) -> None:
    fill(tmp_path / "photos", by_class("train/"), 3)
    fill(tmp_path / "photos", by_class(""), 3)
    with pytest.raises(
        SettingError, match=r"matches 2 layouts, splits .* and classes .*; type dataset.layout=splits or"
    ):
        inspect(tmp_path / "photos")
    assert inspect(tmp_path / "photos", "dataset.layout=splits").counts["labeled"] == 6
    status, output = program("train", "dataset=folder", "dataset.root=photos", "tracking=none")
    assert status == 2
    assert output.count("\n") == 1
    assert "dataset.layout=auto: " in output


def test_two_folders_of_one_set_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 3)
    fill(tmp_path, by_class("Valid/"), 3)
    fill(tmp_path, by_class("val/"), 3)
    with pytest.raises(SettingError, match=r"has Valid/ and val/; type the one to read, as dataset\.validation=Valid$"):
        inspect(tmp_path)
    assert inspect(tmp_path, "dataset.validation=val").counts["validation"] == 9


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (
            ["docs/a"],
            r"contains docs/; for folders of sets, name them .*; for other names, type dataset\.labeled=FOLDER",
        ),
        (
            ["IMG_"],
            r"contains 3 images such as IMG_0\.png; for classes in file names, type .*; for class folders, move",
        ),
        (["train/IMG_"], r"contains train/, 3 images such as train/IMG_0\.png; for classes .*; for folders of sets"),
        (["data/train/a", "data/train/b"], r"contains data/ \(did you mean dataset\.root=.*/data\?\)"),
    ],
)
def test_unknown_layout_is_refused_with_the_closest(tmp_path: Path, places: list[str], message: str) -> None:
    fill(tmp_path, places, 3)
    with pytest.raises(DataError, match=rf"^dataset\.labeled=training/labeled: there is no folder .*{message}"):
        inspect(tmp_path)


def test_table_without_layout_is_named_in_the_command(tmp_path: Path) -> None:
    fill(tmp_path, ["img/a"], 3)
    (tmp_path / "labels.csv").write_text("file,class\n")
    with pytest.raises(DataError, match=rf"type its path, as dataset\.root={tmp_path}/labels\.csv"):
        inspect(tmp_path)


def test_single_class_folder_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    fill(tmp_path, ["photos/cat"], 3)
    with pytest.raises(DataError) as error:
        inspect(tmp_path / "photos")
    message = "has one class folder, cat/ with 3 images; there must be at least 2 classes; put the images that are not"
    assert message in str(error.value)
    assert str(error.value).endswith(f"such as {tmp_path}/photos/other/")
    fill(tmp_path, ["photos/dog"], 3)
    with pytest.raises(DataError, match=rf"\(did you mean dataset\.root={tmp_path}/photos\?\)"):
        inspect(tmp_path / "photos" / "cat")


def test_compressed_archive_in_a_folder_is_refused_with_the_command_to_type(tmp_path: Path) -> None:
    (tmp_path / "photos.tgz").write_bytes(b"\x1f\x8b\x08")
    command = f"gunzip -k {tmp_path}/photos.tgz and then use {tmp_path}/photos.tar"
    with pytest.raises(DataError, match=rf"type {command}$"):
        inspect(tmp_path)


def test_empty_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no folder and no image; for folders of sets"):
        inspect(tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("layout=split", r"^dataset\.layout=split: must be one of auto, .* \(did you mean splits\?\)$"),
        ("class_pattern='(?P<cl>[^_]+)_.*'", r"^dataset\.class_pattern=.*: must have a group named class, such as"),
        ("class_pattern='(?P<class>'", r"^dataset\.class_pattern=.*: must be a regular expression, such as"),
        ("unlabeled=[]", r"^dataset\.unlabeled=\[\]: must be a folder, a list of folders such as"),
        ("unlabeled=[a,a]", r"^dataset\.unlabeled=.*: names a folder twice$"),
        ("unlabeled=3", r"^dataset\.unlabeled=3: must be a folder, a list of folders"),
        ("validation_share=1", r"^dataset\.validation_share=1\.0: must be in \[0, 0\.9\]$"),
        (
            "test_share=0.8",
            r"^dataset\.test_share=0\.8: dataset\.validation_share \+ dataset\.test_share is 1; it must be at most",
        ),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        folder(tmp_path, f"dataset.{override}")


@pytest.mark.parametrize("layout", ["folders", "splits", "classes", "file_names", "table"])
@pytest.mark.parametrize("key", ["labeled", "unlabeled", "validation", "test", "image_folder"])
def test_folders_outside_the_root_are_refused(tmp_path: Path, layout: str, key: str) -> None:
    fill(tmp_path / "photos", by_class("train/"), 3)
    for outside in (str(tmp_path / "photos/train"), "../photos/train"):
        with pytest.raises(SettingError, match=rf"^dataset\.{key}=.*: folders are relative to dataset\.root"):
            inspect(tmp_path / "photos", f"dataset.{key}={outside}", f"dataset.layout={layout}")


def test_other_forms_of_a_path_name_the_same_folder(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 5)
    fill(tmp_path, ["train/raw"], 2)
    info = inspect(tmp_path, "dataset.unlabeled=./train/raw/")
    assert (info.classes, info.counts["unlabeled"]) == (CLASSES, 2)


def test_pattern_that_matches_no_name_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["train/cat_", "train/dog_"], 3)
    pattern = "dataset.class_pattern='(?P<class>[0-9]+)-.*'"
    with pytest.raises(
        SettingError, match=r"^dataset\.class_pattern=.*: matches none of the 6 images in .*/train, such as cat_0\.png$"
    ):
        inspect(tmp_path, pattern, "dataset.layout=file_names")
    with pytest.raises(DataError, match=r"6 images such as train/cat_0\.png; for classes in file names, type"):
        inspect(tmp_path, pattern)


def test_images_whose_names_have_no_class_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, ["train/cat_", "train/dog_"], 10)
    fill(tmp_path, ["train"], 2)
    info = inspect(tmp_path)
    assert info.counts["labeled"] + info.counts["validation"] == 20
    assert info.index.ignored["no class in its name"] == 2
    assert any(
        note.startswith("2 of 22 images in ") and "class_pattern does not match their names, such as 0.png" in note
        for note in info.notes
    )


def test_images_in_no_class_folder_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 5)
    fill(tmp_path, by_class("val/"), 2)
    fill(tmp_path, ["train", "val"], 1)
    info = inspect(tmp_path)
    assert info.index.ignored["image beside the class folders"] == 2
    assert info.notes[1:] == ("2 images are not read: beside the class folders, not in one of them",)


def test_folders_beside_images_are_named(tmp_path: Path) -> None:
    fill(tmp_path, ["train/cat_", "train/dog_"], 10)
    fill(tmp_path, ["train/old"], 1)
    info = inspect(tmp_path, "dataset.layout=file_names")
    assert info.notes[1] == "folders beside images with the class in the file name are not read: train/old/"


def test_unknown_classes_in_file_names_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["train/cat_", "train/dog_", "val/cat_", "val/cow_"], 3)
    with pytest.raises(DataError, match=r"val: the file names contain classes that no labeled image has: cow$"):
        inspect(tmp_path)


def test_named_layout_without_its_folders_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, by_class(""), 3)
    with pytest.raises(DataError, match=r"^dataset\.layout=splits: .* has no folder train/, training/, labeled/ or"):
        inspect(tmp_path, "dataset.layout=splits")
    with pytest.raises(DataError, match=r"no folder .*training/labeled"):
        inspect(tmp_path, "dataset.layout=folders")


@pytest.mark.parametrize(("key", "value"), [("labeled", "trian"), ("validation", "vall"), ("unlabeled", "more")])
def test_folder_of_another_name_must_exist(tmp_path: Path, key: str, value: str) -> None:
    fill(tmp_path, by_class("train/"), 5)
    with pytest.raises((SettingError, DataError), match=rf"^dataset\.{key}={value}: there is no folder"):
        inspect(tmp_path, f"dataset.{key}={value}")


# Test images of other classes -----------------------------------------------------------------------------------------


def test_test_folders_that_are_no_classes_are_named(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 5)
    fill(tmp_path, [f"test/{number}" for number in range(4)], 2)
    info = inspect(tmp_path)
    assert info.counts["test"] == 0
    assert info.index.ignored["test image of no known class"] == 8
    assert (
        "no test accuracy: no folder in test/ (0, 1, 2, ...) is named as a class of the labeled images "
        "(apple, bread, cake); rename these folders, or use dataset.test=null"
    ) in info.notes
    assert not any("no test accuracy" in note for note in inspect(tmp_path, "dataset.test=null").notes)


# Folders with a usual name of a set are never classes -----------------------------------------------------------------


@pytest.mark.parametrize("key", ["validation", "test", "unlabeled"])
def test_folder_of_an_unused_set_beside_class_folders_is_no_class(tmp_path: Path, key: str) -> None:
    fill(tmp_path, CLASSES, 5)
    fill(tmp_path, ["unlabeled", "train", *by_class("val/"), *by_class("test/")], 2)
    info = inspect(tmp_path, f"dataset.{key}=null")
    assert info.classes == CLASSES
    assert all(name.split("/")[0] in CLASSES for name in names(info, "labeled"))
    unread = {"validation": "train/ and val/", "test": "test/ and train/", "unlabeled": "train/ and unlabeled/"}
    assert info.notes[0].endswith(f"; not read: {unread[key]}; 3 classes: apple, bread, cake")


def test_folds_of_class_folders_do_not_train_on_the_validation_folder(tmp_path: Path) -> None:
    fill(tmp_path, CLASSES, 4)
    fill(tmp_path, by_class("Val/"), 2)
    info = inspect(tmp_path, "dataset.folds=2", "dataset.fold=0", "dataset.validation=null")
    assert info.classes == CLASSES
    assert info.counts == {"labeled": 6, "unlabeled": 0, "validation": 6, "test": 0}


def test_folder_of_an_unused_set_inside_the_training_folder_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 5)
    fill(tmp_path, ["train/unlabeled", *by_class("train/test/")], 2)
    info = inspect(tmp_path, "dataset.unlabeled=null")
    assert info.classes == CLASSES
    assert info.notes[0].endswith("; not read: train/test/ and train/unlabeled/")
    assert inspect(tmp_path).notes[0].endswith("; not read: train/test/")
    (tmp_path / "train").rename(tmp_path / "labeled")
    assert inspect(tmp_path, "dataset.unlabeled=null").classes == CLASSES
    fill(tmp_path / "two", [*by_class("train/labeled/"), "train/unlabeled"], 5)
    info = inspect(tmp_path / "two", "dataset.unlabeled=null")
    assert info.notes[0].endswith("; not read: train/unlabeled/")


def test_folder_of_another_set_inside_the_configured_folder_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path, by_class("photos/"), 5)
    fill(tmp_path, ["photos/more"], 2)
    info = inspect(tmp_path, "dataset.labeled=photos", "dataset.unlabeled=photos/more")
    assert info.classes == CLASSES
    assert info.counts["unlabeled"] == 2
    info = inspect(tmp_path / "photos", "dataset.labeled=.", "dataset.unlabeled=more")
    assert info.classes == CLASSES
    fill(tmp_path / "photos", by_class("val/"), 2)
    info = inspect(tmp_path / "photos", "dataset.labeled=.", "dataset.unlabeled=more", "dataset.validation=null")
    assert (info.classes, info.notes) == (CLASSES, ("not read: val/",))
    info = inspect(tmp_path / "photos", "dataset.labeled=.", "dataset.unlabeled=more")
    assert (info.classes, info.notes, info.counts["validation"]) == (CLASSES, (), 6)


# Unlabeled images -----------------------------------------------------------------------------------------------------


def test_several_unlabeled_folders_are_joined(tmp_path: Path) -> None:
    fill(tmp_path, by_class("training/labeled/"), 5)
    fill(tmp_path, by_class("validation/"), 2)
    fill(tmp_path, ["training/unlabeled", "training/unlabeled/inner", "testing"], 3)
    both = "dataset.unlabeled=[training/unlabeled,testing]"
    info = inspect(tmp_path, both)
    assert info.counts == {"labeled": 15, "unlabeled": 9, "validation": 6, "test": 0}
    assert info.notes == ()
    assert info.index.ignored["test image of no known class"] == 0
    nested = inspect(tmp_path, "dataset.unlabeled=[training/unlabeled,training/unlabeled/inner]")
    assert nested.counts["unlabeled"] == 6
    config = checked("dataset=folder", f"dataset.root={tmp_path}", both, "tracking=none").config
    assert config["dataset"]["unlabeled"] == ["training/unlabeled", "testing"]
    assert len(read(tmp_path, both).unlabeled) == 9


def test_test_images_are_not_also_unlabeled(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 5)
    fill(tmp_path, by_class("test/"), 2)
    with pytest.raises(SettingError, match=r"^dataset\.unlabeled=test: .* the test set; add dataset\.test=null"):
        inspect(tmp_path, "dataset.unlabeled=test")
    assert inspect(tmp_path, "dataset.unlabeled=test", "dataset.test=null").counts["unlabeled"] == 6


def test_labeled_images_can_also_be_unlabeled_but_not_held_out_ones(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 10)
    fill(tmp_path, ["more"], 4)
    info = inspect(tmp_path, "dataset.unlabeled=[more,train]", "dataset.labels_per_class=3")
    assert info.counts == {"labeled": 9, "unlabeled": 4 + 30 - 6, "validation": 6, "test": 0}
    files = [file.name for file in info.index.parts["unlabeled"].files]
    assert len(set(files)) == len(files)
    assert not names(info, "validation") & set(files)
    assert len(info.index.hidden) == len(files)


# Shares ---------------------------------------------------------------------------------------------------------------


def test_drawn_sets_are_stratified_seeded_and_never_unlabeled(tmp_path: Path) -> None:
    for name, count in zip(CLASSES, (3, 10, 20), strict=True):
        fill(tmp_path, [name], count)
    words = ["dataset.test_share=0.2", "dataset.labels_per_class=1"]
    info = inspect(tmp_path, *words)
    parts = info.index.parts
    assert [parts["validation"].targets.count(number) for number in range(3)] == [1, 2, 4]
    assert [parts["test"].targets.count(number) for number in range(3)] == [1, 2, 4]
    assert info.counts == {"labeled": 3, "unlabeled": 33 - 14 - 3, "validation": 7, "test": 7}
    everything = [name for split in parts for name in names(info, split)]
    assert len(everything) == len(set(everything)) == 33
    assert names(inspect(tmp_path, *words), "validation") == names(info, "validation")
    assert names(inspect(tmp_path, *words, "seed=1"), "validation") != names(info, "validation")
    fixed = inspect(tmp_path, *words, "seed=1", "dataset.split_seed=0")
    assert names(fixed, "validation") == names(info, "validation")
    fewer = inspect(tmp_path, *words, "dataset.validation_per_class=1")
    assert names(fewer, "validation") < names(info, "validation")
    assert names(fewer, "unlabeled") == names(info, "unlabeled")
    data = read(tmp_path, *words)
    for path, target in zip(data.validation.paths, data.validation.targets.tolist(), strict=True):
        assert path.split("/")[0] == CLASSES[target]


def test_class_of_one_image_cannot_be_divided(tmp_path: Path) -> None:
    fill(tmp_path, CLASSES, 4)
    fill(tmp_path, ["durian"], 1)
    with pytest.raises(
        SettingError,
        match=r"^dataset\.validation_share=0\.2: class durian has only 1 labeled image, and each class needs one for "
        r"training, one for validation; add images or remove the class; dataset\.validation=FOLDER",
    ):
        inspect(tmp_path)
    fill(tmp_path, ["durian"], 2)
    assert inspect(tmp_path, "dataset.validation_share=0.9").counts["labeled"] == 4
    with pytest.raises(SettingError, match=r"class durian has only 2 .*, one for validation, one for the test"):
        inspect(tmp_path, "dataset.test_share=0.1")


def test_empty_class_is_refused_in_every_layout(tmp_path: Path) -> None:
    fill(tmp_path, CLASSES, 4)
    (tmp_path / "durian").mkdir()
    with pytest.raises(DataError, match=r"durian: no image of class durian; add images, or remove the folder$"):
        inspect(tmp_path)


def test_no_validation_images_are_drawn_where_another_setting_decides(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 10)
    assert inspect(tmp_path, "dataset.folds=2", "dataset.fold=0").counts["validation"] == 15
    assert inspect(tmp_path, "dataset.validation=null").counts["validation"] == 0
    assert inspect(tmp_path, "dataset.validation_share=0").counts["validation"] == 0
    fill(tmp_path, by_class("val/"), 1)
    info = inspect(tmp_path, "dataset.validation_share=0.5")
    assert info.counts == {"labeled": 30, "unlabeled": 0, "validation": 3, "test": 0}


def test_share_of_test_images_with_a_test_set_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, by_class("train/"), 10)
    fill(tmp_path, by_class("test/"), 1)
    with pytest.raises(SettingError, match=r"^dataset\.test_share=0\.2: is for data without a test set, and"):
        inspect(tmp_path, "dataset.test_share=0.2")
    assert inspect(tmp_path, "dataset.test_share=0.2", "dataset.test=null").counts["test"] == 6


def test_new_settings_change_the_run_id_only_if_they_are_set(tmp_path: Path) -> None:
    words = ("dataset=folder", f"dataset.root={tmp_path}", "tracking=none")
    plain = checked(*words).config
    new = ("layout", "class_pattern", "validation_share", "test_share")
    before = plain | {"dataset": {key: value for key, value in plain["dataset"].items() if key not in new}}
    assert run_id(plain) == run_id(before)
    changes = ("layout=classes", "class_pattern='(?P<class>.)'", "validation_share=0.3", "test_share=0.2")
    assert len({run_id(plain), *(checked(*words, f"dataset.{each}").id for each in changes)}) == 5


# On the command line --------------------------------------------------------------------------------------------------


def test_how_the_files_were_read_is_printed_once(tmp_path: Path, program: Program) -> None:
    fill(tmp_path / "photos", CLASSES, 5)
    short = ("dataset=folder", "dataset.size=8", "dataset.workers=1", "train.steps=1", "train.batch_size=2")
    quiet = ("tracking=none", "plots=false", "method=supervised", "dataset.on_duplicate=ignore")
    status, output = program("train", "dataset.root=photos", *short, *quiet)
    assert status == 0, output
    assert output.count("read as class folders") == 1
    assert output.count("no validation set was found") == 1
    status, output = program("train", "dataset.root=photos", *short, *quiet[:2], "dataset.on_duplicate=ignore")
    assert status == 0, output
    assert output.count("read as class folders") == 1
    assert "dataset.labels_per_class=N treats all but N images of each class as unlabeled" in output
