"""Tables and archives as data sets: equal data in every form, and errors."""

import io
import json
import os
import random
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from semisup.dataset import SPLITS, Data, DatasetInfo, image_files
from semisup.errors import DataError, SettingError
from tests.conftest import Program
from tests.dataset import watch
from tests.dataset.test_folder import CLASSES, chosen, key_of, save

Row = tuple[str, str, str]


def fill(root: Path) -> list[Row]:
    """A folder in the default layout: file, class ("" = none) and split of each image."""
    rows = [
        (f"{part}/{name}/{number}.png", name, split)
        for part, split, count in (("training/labeled", "train", 5), ("validation", "val", 2), ("testing", "test", 2))
        for name in CLASSES
        for number in range(count)
    ]
    rows += [(f"training/unlabeled/{number}.png", "", "unlabeled") for number in range(6)]
    for number, (name, _, _) in enumerate(rows):
        save(root / name, (7 * number % 256, 31 * number % 256, 90))
    random.Random(3).shuffle(rows)
    return rows


def write_csv(path: Path, rows: list[Row], separator: str = ",") -> Path:
    path.write_text("\n".join([separator.join(("image", "label", "split")), *map(separator.join, rows), ""]))
    return path


def write_tar(path: Path, folder: Path, names: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name in names:
            archive.add(folder / name, name)
    return path


def write_zip(path: Path, folder: Path, names: list[str], method: int) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.write(folder / name, name)
    return path


def write_parquet(path: Path, folder: Path, rows: list[Row]) -> Path:
    """As the library `datasets` writes it."""
    images = [{"bytes": (folder / name).read_bytes(), "path": name} for name, _, _ in rows]
    labels: list[Any] = [CLASSES.index(name) if name else -1 for _, name, _ in rows]
    table = pyarrow.table({"image": images, "label": labels, "split": [split for *_, split in rows]})
    features = {"image": {"_type": "Image"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(metadata), path, row_group_size=9)
    return path


def in_table(root: Path, rows: list[Row]) -> Path:
    return write_csv(root / "all.csv", rows, ";")


def in_tables(root: Path, rows: list[Row]) -> Path:
    for stem, split in (("Train", "train"), ("valid", "val"), ("test", "test"), ("unlabeled", "unlabeled")):
        chosen_rows = [(name.replace("/", "\\"), class_, "") for name, class_, each in rows if each == split]
        write_csv(root / f"{stem}.csv", chosen_rows, "\t")
    return root


def in_shards(root: Path, rows: list[Row]) -> Path:
    for number in range(3):
        write_tar(root.parent / f"shards/{number:02d}.tar", root, [name for name, _, _ in rows[number::3]])
    return root.parent / "shards"


def in_sets_of_parquet(root: Path, rows: list[Row]) -> Path:
    (root.parent / "tables").mkdir()
    for split in ("train", "val", "test", "unlabeled"):
        own = [row for row in rows if row[2] == split]
        write_parquet(root.parent / f"tables/{split}-00000-of-00001.parquet", root, own)
    return root.parent / "tables"


FORMS: dict[str, Callable[[Path, list[Row]], Path]] = {
    "table": in_table,
    "tar": lambda root, rows: write_tar(root.parent / "x.tar", root, ["training", "validation", "testing"]),
    "shards": in_shards,
    "pattern": lambda root, rows: Path(f"{in_shards(root, rows)}/{{00..02}}.tar"),
    "deflated zip": lambda root, rows: write_zip(root.parent / "x.zip", root, [row[0] for row in rows], 8),
    "stored zip": lambda root, rows: write_zip(root.parent / "x.zip", root, [row[0] for row in rows], 0),
    "parquet": lambda root, rows: write_parquet(root.parent / "x.parquet", root, rows),
    "tables of parquet": in_sets_of_parquet,
}


def inspect(root: Path, *overrides: str) -> DatasetInfo:
    return chosen(root, *overrides).inspect()


def read(root: Path, *overrides: str) -> Data:
    dataset = chosen(root, *overrides)
    return dataset.read(dataset.inspect(), watch)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_photographs_are_the_same_data(form: str, tmp_path: Path) -> None:
    rows = fill(tmp_path / "photos")
    folders = read(tmp_path / "photos")
    other = read(FORMS[form](tmp_path / "photos", rows))
    assert other.fingerprint == folders.fingerprint
    assert key_of(other) == key_of(folders)
    assert [getattr(other, split).paths for split in SPLITS] == [getattr(folders, split).paths for split in SPLITS]
    assert other.report["ignored"] == folders.report["ignored"] == {}


def test_images_in_archives_are_not_files_of_their_own(tmp_path: Path) -> None:
    rows = fill(tmp_path / "photos")
    assert image_files(inspect(in_shards(tmp_path / "photos", rows))) == {}
    assert image_files(inspect(in_table(tmp_path / "photos", rows))) == {
        name: os.fspath(tmp_path / "photos" / name) for name, _, _ in rows
    }


@pytest.mark.parametrize("form", ["shards", "parquet"])
def test_fewer_labels_are_drawn_as_from_folders(form: str, tmp_path: Path) -> None:
    rows = fill(tmp_path / "photos")
    other = FORMS[form](tmp_path / "photos", rows)
    few = "dataset.labels_per_class=2", "dataset.validation_per_class=1"
    assert read(other, *few).fingerprint == read(tmp_path / "photos", *few).fingerprint


def test_tables_of_sets_are_detected_in_a_folder_and_in_a_zip(tmp_path: Path) -> None:
    rows = fill(tmp_path / "data" / "photos")
    (tmp_path / "data/photos/training/labeled").rename(tmp_path / "data/photos/training/seen")
    rows = [
        (name.replace("labeled/", "seen/", 1) if split == "train" else name, *more, split)
        for name, *more, split in rows
    ]
    in_tables(tmp_path / "data", [(f"photos/{name}", class_, split) for name, class_, split in rows])
    counts = {"labeled": 15, "unlabeled": 6, "validation": 6, "test": 6}
    info = inspect(tmp_path / "data")
    assert info.counts == counts
    assert info.notes == ("tables Train.csv, test.csv, unlabeled.csv, valid.csv",)
    write_csv(tmp_path / "data/photos/train.csv", rows)
    archive = write_zip(tmp_path / "x.zip", tmp_path / "data/photos", ["train.csv", *(row[0] for row in rows)], 8)
    assert inspect(archive, "dataset.layout=table").counts == counts
    write_csv(tmp_path / "data/train.csv", rows)


def test_a_short_run_has_the_same_numbers_in_every_form(tmp_path: Path, program: Program) -> None:
    rows = fill(tmp_path / "photos")
    roots = {"folders": tmp_path / "photos"}
    roots |= {form: FORMS[form](tmp_path / "photos", rows) for form in ("table", "deflated zip", "tar", "parquet")}
    metrics = {}
    for form, root in roots.items():
        settings = [f"dataset.root={root}", f"output_root={tmp_path / 'out' / form}", "name=x", "dataset.workers=1"]
        short = ["dataset=folder", "dataset.size=8", "train.steps=2", "train.batch_size=4", "plots=false"]
        code, text = program("train", *settings, *short, "tracking=none")
        assert code == 0, text
        (run,) = (tmp_path / "out" / form / "x").glob("*/")
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        about, summary = (json.loads((run / f"{name}.json").read_text()) for name in ("run", "summary"))
        metrics[form] = [
            about["dataset"]["fingerprint"],
            *({key: line[key] for key in line if not re.search("second|time", key)} for line in [*lines, summary]),
            [(run / name).read_bytes() for name in ("predictions.npz", "predictions.csv")],
        ]
    assert len(metrics["folders"]) > 3
    assert all(values == metrics["folders"] for values in metrics.values())


# What a table means ---------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As competitions distribute it: images/, train.csv with classes, test.csv without."""
    names = [f"{number:05d}.png" for number in range(12)]
    for number, name in enumerate(names):
        save(tmp_path / "data/images" / name, (20 * number, 3, 4))
    (tmp_path / "data/train.csv").write_text(
        "id,breed\n" + "".join(f"{n[:5]},{'ab'[i % 2]}\n" for i, n in enumerate(names[:8]))
    )
    (tmp_path / "data/test.csv").write_text("image\n" + "".join(f"{name}\n" for name in names[8:]))
    return tmp_path / "data"


def test_images_of_a_test_table_without_classes_are_unlabeled(root: Path) -> None:
    info = inspect(root, "dataset.class_column=breed", "dataset.validation=null")
    assert info.counts == {"labeled": 8, "unlabeled": 4, "validation": 0, "test": 0}
    text = "4 rows without a class are unlabeled images (4 of the test set; dataset.test=null leaves them out)"
    assert info.notes == (f"tables test.csv, train.csv; {text}",)
    assert info.index.parts["labeled"].files[0].name == "images/00000.png"
    drawn = inspect(root, "dataset.class_column=breed")
    assert drawn.counts == {"labeled": 6, "unlabeled": 4, "validation": 2, "test": 0}


def test_images_of_a_test_table_without_classes_are_not_used_if_test_is_null(root: Path) -> None:
    info = inspect(root, "dataset.class_column=breed", "dataset.validation=null", "dataset.test=null")
    assert info.counts == {"labeled": 8, "unlabeled": 0, "validation": 0, "test": 0}
    assert info.notes == ("tables test.csv, train.csv",)
    assert info.index.ignored == {"not used: dataset.test=null": 4}


def test_classes_of_unlabeled_rows_are_used_for_diagnostics_only(tmp_path: Path) -> None:
    rows = fill(tmp_path / "photos")
    without = read(write_csv(tmp_path / "photos/all.csv", rows))
    known = [
        (name, CLASSES[int(Path(name).stem) % 3] if split == "unlabeled" else class_, split)
        for name, class_, split in rows
    ]
    data = read(write_csv(tmp_path / "photos/all.csv", known))
    assert data.fingerprint == without.fingerprint
    assert data.hidden_targets.tolist() == [int(Path(name).stem) % 3 for name in data.unlabeled.paths]
    assert without.hidden_targets.tolist() == [-1] * 6


def test_sets_whose_setting_is_null_are_not_used(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "photos/all.csv", fill(tmp_path / "photos"))
    folds = "dataset.folds=2", "dataset.fold=0"
    with pytest.raises(SettingError, match=r"dataset\.validation=null"):
        inspect(table, *folds)
    info = inspect(table, *folds, "dataset.validation=null", "dataset.test=null")
    assert (info.counts["unlabeled"], info.counts["test"]) == (6, 0)
    assert info.index.ignored["not used: dataset.test=null"] == 6


def test_images_that_no_table_names_are_counted(root: Path) -> None:
    (root / "test.csv").unlink()
    assert inspect(root, "dataset.class_column=breed").index.ignored == {"image in no table": 4}


def test_an_image_folder_can_be_named(root: Path) -> None:
    shutil.copytree(root / "images", root / "copies")
    with pytest.raises(DataError, match=r"00008.png is in copies/ and images/; choose one with dataset.image_folder"):
        inspect(root, "dataset.class_column=breed", "dataset.layout=table")
    with pytest.raises(SettingError, match=r"matches 2 layouts, classes .* and table"):
        inspect(root, "dataset.class_column=breed")
    settings = "dataset.class_column=breed", "dataset.layout=table", "dataset.image_folder=copies"
    info = inspect(root, *settings)
    assert info.index.parts["labeled"].files[0].name == "copies/00000.png"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["images/00000.png,a", "images/00000.png,b"], "row 3: images/00000.png has the class b, but a in .*: row 2; "),
        (["images/00000.png,a,train", "images/00000.png,a,val"], "has the split validation, but labeled in"),
        (["images/00000.png,a,sometimes"], "row 2: the split sometimes must be train, val, test or unlabeled"),
        (["images/00000.png,a,trian"], r"the split trian must be .* \(did you mean train\?\)"),
        (["images/00000.png,a", "images/00001.png,a"], r"1 class\(es\) \(a\) among the labeled images"),
        (["images/00000.png,a", "images/00001.png,b", "none.png,a"], "1 of 3 rows name an image .*row 4: none.png"),
        (["IMAGES/00000.PNG,a"], "there is no IMAGES/00000.PNG; a similar name there is images/00000.png"),
        (["images/00000.png,a", "../data/images/00001.png,b", "/etc/passwd,b"], "row 3: .*row 4: /etc/passwd"),
        (["images/00000.png,a", "images/00001.png,b", "images/00002.png,,val"], "row 4: .* and has no class"),
        (["images/00000.png,cat", "images/00001.png,b", "images/00002.png,cta,val"], "did you mean cat"),
        (["images/00000.png,a", "images/00001.png;b"], "row 3 has 1 cell"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_in_one_line(root: Path, lines: list[str], message: str) -> None:
    width = max(line.count(",") for line in lines)
    header = ["file,class", "file,class,split"][width - 1]
    rows = [line + "," * (width - line.count(",")) if ";" not in line else line for line in lines]
    (root / "bad.csv").write_text("\n".join([header, *rows]))
    with pytest.raises(DataError, match=message) as error:
        inspect(root / "bad.csv")
    assert "\n" not in str(error.value)


def test_a_column_that_no_table_has_is_refused(root: Path) -> None:
    with pytest.raises(SettingError, match=r"class_column=race: .*/t\w+.csv has the columns"):
        inspect(root, "dataset.class_column=race")


def test_few_rows_without_an_image_are_counted(root: Path) -> None:
    (root / "test.csv").write_text("image\n00008.png\nnone.png\n")
    info = inspect(root, "dataset.class_column=breed", "dataset.max_bad_fraction=0.2")
    assert info.index.ignored["missing image of a table"] == 1
    assert "1 of 10 rows name an image that does not exist" in info.notes[1]


def test_a_repeated_row_is_counted(root: Path) -> None:
    (root / "test.csv").write_text("image\n00008.png\n00008.png\n")
    info = inspect(root, "dataset.class_column=breed")
    assert info.counts["unlabeled"] == 1
    assert info.index.ignored == {"repeated row": 1, "image in no table": 3}


# WebDataset and Parquet -----------------------------------------------------------------------------------------------


def shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_webdataset_shards_are_read(root: Path) -> None:
    images = [(root / f"images/{number:05d}.png").read_bytes() for number in range(12)]
    place = root.parent / "shards"
    place.mkdir()
    train = {
        f"{n:04d}.{end}": data
        for n in range(4)
        for end, data in (("png", images[n]), ("cls", b"ab"[n % 2 : n % 2 + 1]))
    }
    shard(place / "train-0.tar", train)
    more = {"0.png": images[4], "0.json": b'{"id": 7, "label": "a"}', "1.png": images[5], "1.json": b'{"label": "b"}'}
    shard(place / "train-1.tar", more | {"2.png": images[6], "3.a.png": images[7], "3.cls": b"a\n"})
    shard(place / "val-0.tar", {"0.png": images[9], "0.cls": b"a", "1.png": images[10], "1.cls": b"b"})
    info = inspect(place)
    assert info.classes == ("a", "b")
    assert info.counts == {"labeled": 7, "unlabeled": 1, "validation": 2, "test": 0}
    assert info.index.ignored == {}
    assert info.index.parts["unlabeled"].files[0].name == "train-1.tar/2.png", "names of two shards collide"


@pytest.mark.parametrize("text", [b"\xff", b"{", b"[1]"])
def test_a_bad_class_in_a_shard_is_refused(root: Path, text: bytes) -> None:
    shard(root / "x.tar", {"0.png": (root / "images/00000.png").read_bytes(), "0.json": text})
    with pytest.raises(DataError, match=r"x.tar/0.json: (must be|is not JSON)"):
        inspect(root / "x.tar", "dataset.layout=webdataset")


def test_images_without_names_in_parquet_are_named_by_their_rows(root: Path) -> None:
    images = [{"bytes": (root / f"images/{n:05d}.png").read_bytes(), "path": None} for n in range(12)]
    for stem in ("train-0", "train-1"):
        parquet.write_table(pyarrow.table({"image": images, "label": [0, 1] * 6}), root / f"{stem}.parquet")
    info = inspect(root / "train-*.parquet", "dataset.validation=null")
    assert info.counts["labeled"] == 24
    assert info.index.parts["labeled"].files[0].name == "train-0/00"


# Roots ----------------------------------------------------------------------------------------------------------------


def test_a_folder_inside_an_archive_can_be_the_root(tmp_path: Path) -> None:
    fill(tmp_path / "all" / "photos")
    archive = write_tar(tmp_path / "x.tar", tmp_path / "all", ["photos"])
    assert read(archive / "photos").fingerprint == read(tmp_path / "all/photos").fingerprint
    assert read(archive).fingerprint == read(tmp_path / "all/photos").fingerprint
    assert inspect(archive).notes == inspect(archive / "photos").notes
    folders = {"labeled": "training/labeled", "unlabeled": "training/unlabeled", "validation": "validation"}
    given = [f"dataset.{key}=photos/{folder}" for key, folder in folders.items()]
    assert inspect(archive, *given, "dataset.test=photos/testing").counts == inspect(archive).counts
    with pytest.raises(DataError, match="no such folder; its folders are: photos"):
        inspect(archive / "fotos")


def test_bad_roots_are_refused(root: Path) -> None:
    with pytest.raises(SettingError, match="no file matches this pattern"):
        inspect(root / "*.tar")
    with pytest.raises(SettingError, match="must name archives"):
        shutil.copy(root / "train.csv", root / "images/train.csv")
        inspect(root / "{train,images/train}.csv")
    with pytest.raises(SettingError, match="names more than 100000 files"):
        inspect(root / "{0000000..9999999}.tar")
    assert chosen(root / "images/train.csv").scanned_folders() == {}  # type: ignore[attr-defined]
    assert os.listdir(root / "images")


def test_truth_is_read_with_the_settings_of_another_table(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(12)]
    for number, name in enumerate(names):
        save(tmp_path / "img" / name, (20 * number, 9, 9))
    rows = [(name, CLASSES[number % 2] if number < 8 else "", "train") for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["photo,breed,part", *map(",".join, rows)]))
    truth = [f"{name.removesuffix('.png')},{CLASSES[number % 2]}" for number, name in enumerate(names)]
    (tmp_path / "truth.csv").write_text("\n".join(["file,class", *truth]))
    columns = ("dataset.file_column=photo", "dataset.class_column=breed", "dataset.split_column=part")
    words = (*columns, "dataset.truth=truth.csv")
    for more in ((), ("dataset.image_folder=img",)):
        info = chosen(tmp_path / "labels.csv", *words, *more).inspect()
        assert info.index.hidden == [info.classes.index(CLASSES[number % 2]) for number in (10, 11, 8, 9)]
    (tmp_path / "truth.csv").write_text("\n".join(["file,kind", *truth]))
    with pytest.raises(SettingError, match=r"^dataset\.class_column=breed: .*truth\.csv has the columns file, kind$"):
        chosen(tmp_path / "labels.csv", *words).inspect()
