"""Test folders of images in Food-11's layout: how they are split, and the messages about errors."""

import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from semisup.core.class_split import long_tail
from semisup.dataset import SPLITS, Data, Dataset
from semisup.errors import DataError, SettingError
from semisup.images import cache, pool
from tests.dataset import settings, watch
from tests.images import zoo

CLASSES = ("apple", "bread", "cake")


def chosen(root: Path, *overrides: str) -> Dataset:
    fixed = [f"dataset.root={root}", "dataset.size=16", "dataset.workers=1", "dataset.cache=null"]
    return settings("folder", *fixed, *overrides)


def read(root: Path, *overrides: str) -> Data:
    dataset = chosen(root, *overrides)
    return dataset.read(dataset.inspect(), watch)


def key_of(data: Data) -> tuple[object, ...]:
    """Return everything that was read except the names, for a comparison with =="""
    images = [getattr(data, split) for split in SPLITS]
    return [each.pixels.numpy().tobytes() for each in images], [each.targets.tolist() for each in images], data.classes


def save(path: Path, color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 20), color).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder with 8 labeled, 2 validation, 2 test images of three classes and 5 unlabeled ones.

    The red value of an image is 80 times the number of its class.
    """
    for number, name in enumerate(CLASSES):
        for image in range(8):
            save(tmp_path / f"photos/training/labeled/{name}/{image}.png", (80 * number, 10 * image, 0))
        for image in range(2):
            save(tmp_path / f"photos/validation/{name}/{image}.png", (80 * number, 10 * image, 100))
            save(tmp_path / f"photos/testing/{name}/{image}.png", (80 * number, 10 * image, 200))
    for image in range(5):
        save(tmp_path / f"photos/training/unlabeled/00/{image}.png", (80 * (image % 3), 10 * image, 250))
    return tmp_path / "photos"


def test_every_image_has_the_class_of_its_folder(root: Path) -> None:
    data = read(root)
    assert data.classes == CLASSES
    assert [len(getattr(data, split)) for split in SPLITS] == [24, 5, 6, 6]
    for split, blue in (("labeled", 0), ("validation", 100), ("test", 200)):
        images = getattr(data, split)
        assert images.pixels.shape[1:] == (3, 16, 16)
        for path, pixels, target in zip(images.paths, images.pixels, images.targets.tolist(), strict=True):
            assert path.split("/")[-2] == CLASSES[target]
            assert pixels[:, 0, 0].tolist() == [80 * target, 10 * int(Path(path).stem), blue]
    assert data.unlabeled.targets.tolist() == data.hidden_targets.tolist() == [-1] * 5


def test_copied_data_set_has_the_same_fingerprint(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "moved")
    assert read(root).fingerprint == read(tmp_path / "moved").fingerprint
    save(tmp_path / "moved/testing/cake/0.png", (1, 2, 3))
    assert read(root).fingerprint != read(tmp_path / "moved").fingerprint


def test_fewer_validation_images_are_stratified_and_seeded(root: Path) -> None:
    whole, one = read(root), read(root, "dataset.validation_per_class=1")
    assert one.validation.targets.tolist() == [0, 1, 2]
    assert set(one.validation.paths) < set(whole.validation.paths)
    for split in ("labeled", "unlabeled", "test"):
        assert getattr(one, split).paths == getattr(whole, split).paths
    assert one.fingerprint != whole.fingerprint
    seeds = {
        tuple(read(root, "dataset.validation_per_class=1", f"dataset.split_seed={n}").validation.paths)
        for n in range(4)
    }
    assert len(seeds) > 1
    assert read(root, "dataset.validation_per_class=2").fingerprint == whole.fingerprint
    with pytest.raises(
        SettingError, match=r"^dataset\.validation_per_class=3: class apple has only 2 validation images"
    ):
        read(root, "dataset.validation_per_class=3")


# Classes --------------------------------------------------------------------------------------------------------------


def test_class_only_in_validation_is_refused(root: Path) -> None:
    save(root / "validation/durian/0.png", (0, 0, 0))
    with pytest.raises(DataError, match=r"validation: has class folders that the labeled folder does not have: durian"):
        chosen(root).inspect()


def test_class_name_in_another_case_is_refused_with_a_suggestion(root: Path) -> None:
    (root / "validation/apple").rename(root / "validation/Apple")
    with pytest.raises(DataError, match=r"does not have: Apple \(did you mean apple\?\)"):
        chosen(root).inspect()


def test_class_names_that_differ_only_in_case_give_a_warning(root: Path) -> None:
    shutil.copytree(root / "training/labeled/cake", root / "training/labeled/Apple")
    save(root / "validation/Apple/0.png", (1, 2, 3))
    with pytest.warns(UserWarning, match=r"differ only in case: Apple, apple$"):
        assert chosen(root, "dataset.test=null").inspect().classes == ("Apple", *CLASSES)


def test_unicode_forms_of_a_class_name_are_equal(root: Path) -> None:
    forms = {form: unicodedata.normalize(form, "crème") for form in ("NFC", "NFD")}
    for part, form in (("training/labeled", "NFD"), ("validation", "NFC"), ("testing", "NFD")):
        (root / part / "cake").rename(root / part / forms[form])
    data = read(root)
    assert data.classes == ("apple", "bread", forms["NFC"])
    assert data.validation.targets.tolist() == data.test.targets.tolist() == [0, 0, 1, 1, 2, 2]
    shutil.copytree(root / "validation" / forms["NFC"], root / "validation" / forms["NFD"])
    with pytest.raises(DataError, match="validation: two folders have the class name crème"):
        chosen(root).inspect()


def test_folder_name_is_escaped_in_messages(root: Path) -> None:
    (root / "training/labeled/x\x1b[2J\n\u202e").mkdir()
    with pytest.raises(
        DataError, match=r"labeled/x\\x1b\[2J\\n\\u202e: no image of class x\\x1b\[2J\\n\\u202e; add images"
    ) as told:
        chosen(root).inspect()
    assert str(told.value).isprintable()


def test_class_missing_in_validation_gives_a_warning_and_keeps_class_numbers(root: Path) -> None:
    shutil.rmtree(root / "validation/bread")
    with pytest.warns(UserWarning, match="validation: no image of class bread"):
        survey = chosen(root).inspect()
    assert survey.classes == CLASSES
    assert survey.index.parts["validation"].targets == [0, 0, 2, 2]


def test_class_missing_in_test_gives_a_warning_and_class_only_in_test_is_refused(root: Path) -> None:
    shutil.rmtree(root / "testing/apple")
    with pytest.warns(UserWarning, match="testing: no image of class apple"):
        assert chosen(root).inspect().index.parts["test"].targets == [1, 1, 2, 2]
    save(root / "testing/durian/0.png", (0, 0, 0))
    with pytest.raises(DataError, match="durian"):
        chosen(root).inspect()


def test_single_class_is_refused(root: Path) -> None:
    for name in CLASSES[1:]:
        shutil.rmtree(root / "training/labeled" / name)
    with pytest.raises(DataError, match=r"labeled: has 1 class folder; there must be at least 2"):
        chosen(root).inspect()


def test_empty_class_is_refused_by_name(root: Path) -> None:
    (root / "training/labeled/durian").mkdir()
    (root / "training/labeled/durian/notes.txt").write_text("none yet")
    (root / "training/labeled/apple/notes.txt").write_text("of another class")
    with pytest.raises(DataError, match=r"class durian; add images, or remove the folder; ignored 1 file: 1 \.txt$"):
        chosen(root).inspect()


def test_split_without_images_names_the_ignored_files(root: Path) -> None:
    (root / "training/labeled/apple/notes.txt").write_text("of another split")
    for name in CLASSES:
        shutil.rmtree(root / "validation" / name)
        (root / "validation" / name).mkdir()
        (root / "validation" / name / "movie.mp4").write_text("x")
    message = r"validation: holds no image files; ignored 3 files: 3 \.mp4$"
    with pytest.warns(UserWarning, match="no image of class"), pytest.raises(DataError, match=message):
        chosen(root).inspect()


def test_hidden_folders_are_not_classes(root: Path) -> None:
    before = read(root)
    shutil.copytree(root / "training/labeled/apple", root / "training/labeled/.ipynb_checkpoints")
    shutil.copy(root / "training/labeled/apple/0.png", root / "training/labeled/apple/._0.png")
    (root / "training/labeled/apple/notes.txt").write_text("ripe")
    with pytest.warns(UserWarning, match=r"^ignored 1 file: 1 \.txt$"):
        after = read(root)
    assert after.fingerprint == before.fingerprint
    assert after.report["ignored"] == {"hidden": 1, "other suffix": 1}


# Folders --------------------------------------------------------------------------------------------------------------


def test_missing_root_is_reported_with_the_most_similar_name(root: Path) -> None:
    with pytest.raises(
        SettingError, match=r"^dataset\.root=.*/photo: there is no such folder \(did you mean .*/photos\?"
    ):
        chosen(root.parent / "photo").inspect()


def test_missing_folder_is_named_with_its_setting(root: Path) -> None:
    shutil.rmtree(root / "training/labeled")
    with pytest.raises(
        DataError, match=r"^dataset\.labeled=training/labeled: there is no folder .*one folder per class.* contains .*/"
    ):
        chosen(root).inspect()


def test_missing_validation_folder_of_the_usual_name_is_replaced_by_a_share(root: Path) -> None:
    shutil.rmtree(root / "validation")
    info = chosen(root).inspect()
    assert info.counts == {"labeled": 18, "unlabeled": 5, "validation": 6, "test": 6}
    assert [note.partition(":")[0] for note in info.notes] == ["no validation set was found"]
    with pytest.raises(SettingError, match=r"^dataset\.validation=holdout: there is no folder .*/holdout"):
        chosen(root, "dataset.validation=holdout").inspect()


def test_root_one_level_off_is_reported_with_the_correct_one(root: Path) -> None:
    for off in (root.parent, root / "training"):
        with pytest.raises(DataError, match=rf"did you mean dataset\.root={root}\?"):
            chosen(off).inspect()


def test_default_unlabeled_folder_may_be_absent_but_not_have_another_name(root: Path) -> None:
    (root / "training/unlabeled").rename(root / "training/unlabled")
    with pytest.raises(
        SettingError, match=r"dataset\.unlabeled=training/unlabeled: .* type dataset.unlabeled=null"
    ) as error:
        chosen(root).inspect()
    assert error.value.nearest == "training/unlabled"
    (root / "training/unlabled").rename(root / "unlabelled")
    with pytest.raises(SettingError) as error:
        chosen(root).inspect()
    assert error.value.nearest == "unlabelled"
    shutil.rmtree(root / "unlabelled")
    assert chosen(root).inspect().counts["unlabeled"] == 0


def test_test_and_unlabeled_may_be_absent(root: Path) -> None:
    shutil.rmtree(root / "testing")
    shutil.rmtree(root / "training/unlabeled")
    data = read(root, "dataset.unlabeled=null")
    assert len(data.test) == len(data.unlabeled) == 0
    assert data.test.pixels.shape == data.unlabeled.pixels.shape == (0, 3, 16, 16)
    nothing = read(root, "dataset.test=null", "dataset.unlabeled=null")
    assert key_of(nothing) == key_of(data)


def test_missing_named_folder_is_not_treated_as_null(root: Path) -> None:
    with pytest.raises(
        SettingError,
        match=r"dataset\.unlabeled=training/unlabelled: there is no folder .* \(did you mean training/unlabeled",
    ):
        read(root, "dataset.unlabeled=training/unlabelled")


def test_test_folder_without_class_folders_is_not_read(root: Path) -> None:
    for number, path in enumerate(sorted((root / "testing").rglob("*.png"))):
        path.rename(root / f"testing/{number:04d}.png")
    for folder in CLASSES:
        (root / "testing" / folder).rmdir()
    data = read(root)
    assert len(data.test) == 0
    assert data.report["ignored"] == {"test image of no known class": 6}


def test_names_of_unlabeled_subfolders_have_no_effect(root: Path) -> None:
    before = read(root)
    (root / "training/unlabeled/00").rename(root / "training/unlabeled/bread")
    after = read(root)
    assert key_of(before) == key_of(after)
    assert before.hidden_targets.tolist() == after.hidden_targets.tolist() == [-1] * 5
    assert after.unlabeled.paths == [path.replace("/00/", "/bread/") for path in before.unlabeled.paths]


@pytest.mark.parametrize("names", ["names", "numbers"])
def test_truth_file_sets_only_the_hidden_targets(root: Path, names: str) -> None:
    known = [CLASSES[image % 3] if names == "names" else str(image % 3) for image in range(4)]
    lines = [f"training/unlabeled/00/{image}.png,{name}" for image, name in enumerate(known)]
    (root / "truth.csv").write_text("\n".join(["file,class", *lines, "gone.png,apple"]) + "\n")
    data = read(root, "dataset.truth=truth.csv")
    assert data.hidden_targets.tolist() == [0, 1, 2, 0, -1]
    assert key_of(data) == key_of(read(root))
    assert data.fingerprint == read(root).fingerprint


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n", b"\xff\xfe\xff"])
def test_unreadable_truth_file_is_refused(root: Path, content: str | bytes | None) -> None:
    if content is not None:
        (root / "truth.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    reason = r"(cannot be read|no column is named file|row 1 cannot be decoded)"
    with pytest.raises(DataError, match=rf"^dataset\.truth=truth\.csv: .*{reason}"):
        chosen(root, "dataset.truth=truth.csv").inspect()


def test_truth_file_without_unlabeled_files_is_refused(root: Path) -> None:
    (root / "truth.csv").write_text("file,class\n0.png,apple\n")
    message = r"the table names no unlabeled image of the data set; names must be relative to .*/photos, such as "
    name = r"training/unlabeled/00/0\.png"
    with pytest.raises(DataError, match=r"^dataset\.truth=truth\.csv: " + message + name):
        chosen(root, "dataset.truth=truth.csv").inspect()


# Fewer labels ---------------------------------------------------------------------------------------------------------


def test_labels_per_class_hides_the_other_labels(root: Path) -> None:
    whole, few = read(root), read(root, "dataset.labels_per_class=3")
    assert few.labeled.targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sorted(few.labeled.paths + few.unlabeled.paths) == sorted(whole.labeled.paths + whole.unlabeled.paths)
    assert set(few.unlabeled.targets.tolist()) == {-1}
    assert few.hidden_targets.tolist() == [-1] * 5 + [0] * 5 + [1] * 5 + [2] * 5
    pixels = dict(zip(whole.labeled.paths, whole.labeled.pixels, strict=True))
    assert all(torch.equal(pixels[path], row) for path, row in zip(few.labeled.paths, few.labeled.pixels, strict=True))
    for path, row, hidden in list(
        zip(few.unlabeled.paths, few.unlabeled.pixels, few.hidden_targets.tolist(), strict=True)
    )[5:]:
        assert torch.equal(pixels[path], row)
        assert path.split("/")[-2] == CLASSES[hidden]
    more = read(root, "dataset.labels_per_class=5")
    assert set(few.labeled.paths) < set(more.labeled.paths)
    other = read(root, "dataset.labels_per_class=3", "seed=1")
    assert set(few.labeled.paths) != set(other.labeled.paths)
    assert few.fingerprint != other.fingerprint
    assert few.fingerprint == read(root, "dataset.labels_per_class=3", "seed=1", "dataset.split_seed=0").fingerprint


def test_long_tail_of_labeled_images(root: Path) -> None:
    data = read(root, "dataset.labels_per_class=8", "dataset.imbalance=4")
    assert data.labeled.targets.bincount().tolist() == long_tail(8, 4, 3) == [8, 4, 2]
    assert data.hidden_targets[5:].bincount().tolist() == [0, 4, 6]
    assert key_of(read(root, "dataset.imbalance=4")) == key_of(data), "as many as every class can supply"


def test_class_with_too_few_labels_is_named(root: Path) -> None:
    (root / "training/labeled/bread/0.png").unlink()
    with pytest.raises(
        SettingError,
        match=r"^dataset\.labels_per_class=8: class bread has only 7 images for training; use a smaller number$",
    ):
        chosen(root, "dataset.labels_per_class=8").inspect()


@pytest.mark.parametrize("setting", ["labels_per_class=0", "imbalance=0", "workers=0", "split_seed=-1", "size=0"])
def test_setting_out_of_range_is_refused(root: Path, setting: str) -> None:
    with pytest.raises(SettingError, match=rf"^dataset\.{setting.partition('=')[0]}="):
        chosen(root, f"dataset.{setting}")


# Bad files ------------------------------------------------------------------------------------------------------------


def test_few_unusable_files_are_left_out_with_a_warning(root: Path) -> None:
    whole = read(root)
    (root / "training/labeled/bread/3.png").write_bytes(b"no picture")
    (root / "training/unlabeled/00/1.png").write_bytes((root / "training/unlabeled/00/0.png").read_bytes()[:-20])
    how = r"; repair or remove them, or leave them out with dataset\.max_bad_fraction=0\.042"
    with pytest.raises(
        DataError, match=r"labeled: 1 unusable image\(s\), 4\.17% of them, more than .*" + how
    ) as refused:
        read(root)
    assert refused.value.report is not None
    with pytest.warns(UserWarning, match="1 unusable image") as told:
        data = read(root, "dataset.max_bad_fraction=0.2", "dataset.labels_per_class=6")
    with pytest.warns(UserWarning, match="1 unusable image"):
        plain = read(root, "dataset.max_bad_fraction=0.2")
    assert plain.labeled.targets.bincount().tolist() == [8, 7, 8]
    assert plain.report["quarantined"]["labeled"] == {"training/labeled/bread/3.png": "unidentified"}
    assert plain.report["quarantined"]["unlabeled"] == {"training/unlabeled/00/1.png": "truncated"}
    assert refused.value.report["quarantined"] == plain.report["quarantined"]
    assert plain.unlabeled.paths == [path for path in whole.unlabeled.paths if not path.endswith("/1.png")]
    assert torch.equal(plain.unlabeled.pixels, whole.unlabeled.pixels[[0, 2, 3, 4]])
    assert len(data.hidden_targets) == len(data.unlabeled) == len(data.unlabeled.pixels)
    assert all("data_report.json" in str(each.message) for each in told)
    said = {split: len(each) for split, each in data.report["quarantined"].items()}
    assert sum(said.values()) == 2


def test_data_report_lists_ignored_files_and_decoding(root: Path) -> None:
    (root / "training/unlabeled/00/movie.gif").write_bytes(_animation())
    (root / "training/unlabeled/00/readme.md").write_text("hello")
    with pytest.warns(UserWarning, match=r"^ignored 1 file: 1 \.md$"):
        report = read(root, "dataset.draft=false").report
    assert json.loads(json.dumps(report)) == report
    assert report["ignored"] == {"other suffix": 1}
    assert report["ignored_suffixes"] == {".md": 1}
    assert report["first_frame_of_several"] == {"labeled": 0, "unlabeled": 1, "validation": 0, "test": 0}
    assert report["quarantined"] == {split: {} for split in SPLITS}
    assert report["recipe"] == {
        "size": 16, "resize": "stretch", "draft": False, "background": 255, "max_pixels": 50_000_000,
    }  # fmt: skip


def _animation() -> bytes:
    frames = [Image.new("RGB", (20, 20), (color, 0, 0)) for color in (10, 90, 200)]
    return zoo.saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


# Pixels ---------------------------------------------------------------------------------------------------------------


def test_photographs_are_rotated_by_exif_orientation(root: Path) -> None:
    upright = Image.fromarray(numpy.tile(numpy.array([[255], [0]], numpy.uint8).repeat(32, 0)[..., None], (1, 40, 3)))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = root / "training/unlabeled/00/turned.jpg"
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif.tobytes())
    data = read(root)
    row = data.unlabeled.pixels[data.unlabeled.paths.index("training/unlabeled/00/turned.jpg")]
    assert row[:, :6].min() > 200
    assert row[:, -6:].max() < 50


def test_center_crop_keeps_the_shape(root: Path) -> None:
    wide = numpy.zeros((20, 60, 3), numpy.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(root / "training/unlabeled/00/wide.png")
    number = read(root).unlabeled.paths.index("training/unlabeled/00/wide.png")
    assert read(root).unlabeled.pixels[number][0, 8].tolist()[0] == 0
    assert (read(root, "dataset.resize=center_crop").unlabeled.pixels[number] > 200).all()


def test_transparent_pixels_become_the_background_color(root: Path) -> None:
    Image.new("RGBA", (20, 20), (9, 9, 9, 0)).save(root / "training/unlabeled/00/clear.png")
    number = read(root).unlabeled.paths.index("training/unlabeled/00/clear.png")
    assert set(read(root).unlabeled.pixels[number].flatten().tolist()) == {255}
    assert set(read(root, "dataset.background=7").unlabeled.pixels[number].flatten().tolist()) == {7}


def test_links_are_followed_if_asked(root: Path, tmp_path: Path) -> None:
    save(tmp_path / "far.png", (7, 7, 7))
    os.symlink(tmp_path / "far.png", root / "training/unlabeled/00/link.png")
    without = read(root)
    assert len(without.unlabeled) == 5
    assert without.report["ignored"] == {"symlink": 1}
    assert len(read(root, "dataset.follow_symlinks=true").unlabeled) == 6


# The cache ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the cache trust the times of files that were just written."""
    monkeypatch.setattr(cache, "RACY_NS", -(10**15))


def refuse(*_: object) -> None:
    raise AssertionError("a picture was opened")


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((pool, "read_file"), (cache, "read_file"), (cache, "decode_files")):
        monkeypatch.setattr(module, name, refuse)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", ["none", "seed"])
def test_second_start_opens_no_image(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    settings = [f"dataset.cache={tmp_path / 'cache'}", "dataset.labels_per_class=3"]
    first = read(root, *settings)
    honest = read(root, "dataset.labels_per_class=3", "seed=9")
    forbid(monkeypatch)
    second = read(root, *settings, *(["seed=9"] if change == "seed" else []))
    expected = first if change == "none" else honest
    assert key_of(second) == key_of(expected)
    assert second.fingerprint == expected.fingerprint
    assert second.report == expected.report


@pytest.mark.usefixtures("settled")
def test_inspection_opens_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch)
    monkeypatch.setattr(Image, "open", refuse)
    assert chosen(root).inspect().counts == {"labeled": 24, "unlabeled": 5, "validation": 6, "test": 6}


# Real photographs -----------------------------------------------------------------------------------------------------


def test_grocery_photographs_are_read(shared_data: Path) -> None:
    mini = shared_data / "grocery_mini"
    count: Callable[[str], int] = lambda part: len(list((mini / part).rglob("*.jpg")))  # noqa: E731
    data = read(mini, "dataset.truth=truth.csv")
    expected = ["training/labeled", "training/unlabeled", "validation", "testing"]
    assert [len(getattr(data, split)) for split in SPLITS] == [count(part) for part in expected]
    assert data.classes == ("00", "01", "02", "03", "04")
    assert data.labeled.targets.bincount().tolist() == [8] * 5
    assert (data.hidden_targets >= 0).all()
    assert data.report["quarantined"] == {split: {} for split in SPLITS}
    few = read(mini, "dataset.truth=truth.csv", "dataset.labels_per_class=3")
    assert len(few.labeled) == 15
    assert len(few.unlabeled) == len(data.unlabeled) + 25
