"""Several archives as one data set: names of archives and of their members that could be misread are refused."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from semisup.dataset import DatasetInfo
from semisup.errors import DataError
from tests.dataset.test_folder import chosen


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 3, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def pack(path: Path, *names: str, start: int = 0) -> None:
    """Write an archive with an image, or the text after `=`, under each name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            member, _, text = name.partition("=")
            archive.writestr(member, text or png(start + number))


def inspect(root: Path, *overrides: str) -> DatasetInfo:
    return chosen(root, "dataset.on_duplicate=ignore", *overrides).inspect()


def refused(root: Path, message: str, *overrides: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        inspect(root, *overrides)
    assert "\n" not in str(error.value)


CLASSES = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(4)]


@pytest.mark.parametrize("name", ["", "*.zip", "{train,test}.zip"])
def test_a_test_archive_is_not_merged_into_the_labeled_images(name: str, tmp_path: Path) -> None:
    pack(tmp_path / "train.zip", *CLASSES)
    pack(tmp_path / "test.zip", "cat/8.png", "dog/9.png")
    root = tmp_path / name
    refused(root, r"test.zip would be read as one folder with train.zip.*; unpack it, as the folder test/")
    refused(root, "test.zip would be read as one folder", "dataset.layout=splits")


def test_a_test_archive_whose_folder_says_so_is_the_test_set(tmp_path: Path) -> None:
    pack(tmp_path / "train.zip", *(f"train/{name}" for name in CLASSES))
    pack(tmp_path / "test.zip", "test/cat/8.png", "test/dog/9.png", start=8)
    assert inspect(tmp_path).counts == {"labeled": 6, "unlabeled": 0, "validation": 2, "test": 2}


def test_archives_of_one_split_are_read_as_one_folder(tmp_path: Path) -> None:
    pack(tmp_path / "train-0.zip", *CLASSES)
    pack(tmp_path / "train-1.zip", "cat/8.png", "dog/9.png", start=8)
    assert inspect(tmp_path).counts["labeled"] == 8


def test_archives_with_members_of_the_same_name_are_not_classes(tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", *CLASSES)
    pack(tmp_path / "b.zip", *CLASSES, start=20)
    refused(tmp_path, r"a.zip and .*b.zip both contain a file cat/0.png; unpack them, ")


def test_archives_of_one_file_name_with_the_same_members_are_refused(tmp_path: Path) -> None:
    shard = [f"{number}.{end}" for number in range(8) for end in ("png", f"cls={number % 2}")]
    pack(tmp_path / "a/s.zip", *shard)
    pack(tmp_path / "b/s.zip", *shard, start=20)
    refused(
        tmp_path / "*/s.zip",
        r"both contain a file 0.png, and the archives .*a/s.zip and .*b/s.zip have the same file name",
    )


def test_tables_of_the_same_name_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        rows = "\n".join(f"{name}{row}.png,{'xy'[row % 2]}" for row in range(4))
        images = [f"{name}{row}.png" for row in range(4)]
        pack(tmp_path / f"{name}.zip", *images, f"train.csv=file,class\n{rows}\n", start=9 * number)
    refused(tmp_path, "both contain a file train.csv")
    with pytest.warns(UserWarning, match="Duplicate name"):
        pack(tmp_path / "twice/a.zip", "0.png", "1.png", "train.csv=file,class\n0.png,x\n", "train.csv=file,class\n")
    refused(tmp_path / "twice/a.zip", "contains two files with the name train.csv")


def test_json_files_that_describe_no_image_may_be_in_every_archive(tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", *CLASSES, "index.json={}")
    pack(tmp_path / "b.zip", "cat/8.png", "dog/9.png", "index.json={}", start=8)
    assert inspect(tmp_path).counts["labeled"] == 8


def test_an_archive_beside_images_is_an_ignored_file(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{('cat', 'dog')[number % 2]}_{number}.png").write_bytes(png(number))
    pack(tmp_path / "old.zip", "cat/0.png", "dog/1.png", start=20)
    info = inspect(tmp_path, "dataset.layout=file_names")
    assert (info.counts["labeled"], info.counts["validation"]) == (6, 2)
    assert info.index.ignored[".zip"] == 1


def test_a_table_in_an_archive_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semisup.dataset._archive_source.MAX_ATTACHED_BYTES", 2**20)
    pack(tmp_path / "a.zip", *CLASSES, "train.csv=file,class\n" + "\n" * 2**20)
    refused(
        tmp_path / "a.zip", "train.csv: has more than 1 MB, the limit in an archive; unpack", "dataset.layout=table"
    )


# WebDataset -----------------------------------------------------------------------------------------------------------

SHARD = [f"{number}.{end}" for number in range(8) for end in ("png", f"cls={'ab'[number % 2]}")]


def test_images_of_a_test_shard_without_classes_are_reported_or_not_used(tmp_path: Path) -> None:
    pack(tmp_path / "train-0.zip", *SHARD, "8.png")
    pack(tmp_path / "test-0.zip", "t0.png", "t1.png", start=30)
    info = inspect(tmp_path)
    assert info.counts["unlabeled"] == 3
    text = "3 samples without a class are unlabeled images (2 of the test set; dataset.test=null leaves them out)"
    assert info.notes[0] == f"WebDataset: 11 samples; {text}"
    without = inspect(tmp_path, "dataset.test=null")
    assert without.counts["unlabeled"] == 1
    assert without.notes[0].endswith("; 1 sample without a class is an unlabeled image")
    assert without.index.ignored == {"not used: dataset.test=null": 2}


def test_a_sample_with_two_images_is_refused(tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", *SHARD, "8.depth.png", "8.rgb.png", "8.cls=a")
    refused(tmp_path / "a.zip", "the sample 8 has two images, 8.depth.png and 8.rgb.png; pack one image per sample")


@pytest.mark.parametrize("label", ["[1]", '{"a": 1}', "true", "1.5"])
def test_a_json_label_that_is_neither_text_nor_integer_is_refused(label: str, tmp_path: Path) -> None:
    pack(tmp_path / "a.zip", *SHARD, "8.png", f'8.json={{"label": {label}}}')
    refused(tmp_path / "a.zip", "8.json: the value of label must be text or an integer")


def test_integral_and_missing_json_labels_are_read(tmp_path: Path) -> None:
    labels = ["1.0", "1", '"1"', "2", "2.0", "2", "null"]
    members = [each for n, label in enumerate(labels) for each in (f"{n}.png", f'{n}.json={{"label": {label}}}')]
    pack(tmp_path / "a.zip", *members)
    info = inspect(tmp_path / "a.zip", "dataset.validation=null")
    assert (info.classes, info.counts["labeled"], info.counts["unlabeled"]) == (("1", "2"), 6, 1)
