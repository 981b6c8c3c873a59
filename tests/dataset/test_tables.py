"""Tables in the forms in which programs and spreadsheets save them, and errors."""

import io
import json
import warnings
from pathlib import Path

import pandas
import pyarrow
import pytest
from pyarrow import parquet

from semisup.config.run_id import run_id
from semisup.dataset import Table, read_table
from semisup.errors import DataError, SettingError
from tests.conftest import checked
from tests.dataset.test_folder import chosen, read, save

ROWS = (("images/a b.png", "cat", "train"), ("images/ü.png", "dog", "val"), ('c,"1".png', "", ""))


def table(data: bytes, required: tuple[str, ...] = ("file",), **columns: str) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_table(io.BytesIO(data), "table.csv", columns, required)


def cells(read: Table) -> list[tuple[str, str, str]]:
    assert read.classes is not None
    assert read.splits is not None
    return list(zip(read.files, read.classes, read.splits, strict=True))


def text(separator: str = ",", end: str = "\n", header: tuple[str, ...] = ("file", "class", "split")) -> str:
    quote = lambda cell: f'"{cell.replace(chr(34), 2 * chr(34))}"' if set(cell) & {",", ";", '"'} else cell  # noqa: E731
    return end.join([separator.join(header), *(separator.join(map(quote, row)) for row in ROWS), ""])


@pytest.mark.parametrize(
    "data",
    [
        text().encode(),
        text().encode("utf-8-sig"),
        text(";", "\r\n").encode("utf-8-sig"),
        text("\t").encode("utf-16"),
        text("\t", "\r\n").encode("utf-16-le"),
        text("\t").encode("utf-16-be"),
        text("|").encode(),
        text(", ").encode(),
        ("sep=;\r\n" + text(";", "\r\n")).encode(),
        ("\n" + text() + "\n,,\n\n").encode(),
        text(header=("File Name", " LABEL", "Sub-Set")).encode(),
        text(header=("image_path", "Target", "partition")).encode(),
        text().encode().rstrip(b"\n"),
        "\n".join(line + ",," for line in text().splitlines()).encode(),
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_every_form_of_a_text_table_gives_the_same_rows(data: bytes) -> None:
    assert cells(table(data)) == list(ROWS)


def test_rows_have_the_line_numbers_of_the_file() -> None:
    assert list(table(b"sep=,\n\nfile\na.png\n\nb.png\n").rows) == [4, 6]


def test_a_table_of_files_alone_has_no_classes() -> None:
    read = table(b"image\n1.png\n2.png\n")
    assert (read.files, read.classes, read.splits) == (["1.png", "2.png"], None, None)


def test_a_cell_that_this_program_protected_from_spreadsheets_is_restored() -> None:
    assert table(b"file,class\n'=1.png,'+a\n'x.png,b\n").files == ["=1.png", "'x.png"]


def test_columns_can_be_named() -> None:
    data = b"id,breed,fold\n1.png,pug,train\n"
    assert table(data, ("file", "class"), **{"class": "breed", "file": "ID"}).classes == ["pug"]
    with pytest.raises(SettingError, match=r"dataset.class_column=bred: table.csv .* id, breed, fold \(.* breed\?"):
        table(data, **{"class": "bred"})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"1.png,cat\n2.png,dog\n", "no column is named file, .* first row has 1.png, cat; .*dataset.file_column="),
        (b"fil,class\n", "dataset.file_column=fil"),
        (b"file,klass\n1.png,a\n", "no column is named class, .*dataset.class_column=klass"),
        (b"file,label,class\n", "several columns can be the class of an image: label or class; .*dataset.class_column"),
        (b"file,class\n1.png;a\n", "row 2 has 1 cell, and the first row has 2; the separator is a comma"),
        (b"file,class\n1.png,a\n2,5.png,a\n", "row 3 has 3 cells"),
        (b"file,class\n,a\n", "row 2 has no file name"),
        (b'file,class\n1.png,"a\n2.png,b\n', "row 2: a quoted cell has no end"),
        ("file,class\n1.png,é\n".encode("latin-1"), 'row 2 cannot be decoded: .*"CSV UTF-8"'),
        (b"\xff\xfea", "cannot be decoded"),
        (b"PK\x03\x04xl", "is an Excel workbook"),
        (b"\x1f\x8b\x08", "is compressed"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "it contains bytes of value 0"),
        (b"PAR1" + bytes(20) + b"PAR1", "is damaged"),
        (b"file,class\n" + b"a" * 200_000 + b",b\n", "row 2: field larger than field limit"),
    ],
    ids=lambda value: ascii(value[:24]) if isinstance(value, bytes) else "",
)
def test_a_table_that_cannot_be_read_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"^table.csv: .*{message}") as error:
        table(data, ("file", "class"))
    assert "\n" not in str(error.value)


# Parquet ----------------------------------------------------------------------------------------------------------


def parquet_bytes(columns: pyarrow.Table) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(columns, buffer)
    return buffer.getvalue()


def test_parquet_has_the_same_rows_as_text() -> None:
    frame = pandas.DataFrame(ROWS, columns=["File Name", "label", "split"])
    assert cells(table(parquet_bytes(pyarrow.Table.from_pandas(frame)))) == list(ROWS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 2, None], ["0", "2", ""]),
        ([0.0, 2.0, float("nan")], ["0", "2", ""]),
        (["a", "b ", None], ["a", "b", ""]),
        ([True, False, None], ["True", "False", ""]),
        ([b"a", "\u00e9".encode(), None], ["a", "\u00e9", ""]),
    ],
)
def test_classes_in_parquet_become_text(values: list[object], expected: list[str]) -> None:
    columns = pyarrow.table({"file": ["1", "2", "3"], "label": values})
    assert table(parquet_bytes(columns)).classes == expected


def test_numbered_classes_get_the_names_in_the_metadata() -> None:
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = pyarrow.table({"file": ["1", "2", "3"], "label": [1, 0, -1]}).replace_schema_metadata(metadata)
    assert table(parquet_bytes(columns)).classes == ["dog", "cat", ""]


def test_numbers_of_classes_without_a_name_are_refused() -> None:
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "dog"]}}}})}
    columns = pyarrow.table({"file": ["1", "2"], "label": [1, 2]}).replace_schema_metadata(metadata)
    with pytest.raises(DataError, match="column label has the class 2 in row 1, and the names of 2 classes, 0 to 1"):
        table(parquet_bytes(columns))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["1"], "label": [["a"]]}, "column label has the type list<.*>; classes and splits must be text"),
        ({"file": ["1"], "label": ["a"], "split": [["train"]]}, "column split has the type list<"),
        ({"file": ["1"], "label": [b"\xff"]}, "column label has bytes in row 0 that are not UTF-8 text"),
        ({"image": [{"bytes": b"a", "path": 1}], "label": ["a"]}, "column image has the type struct<.*; images must"),
        ({"image": [{"bytes": 1, "path": "a"}], "label": ["a"]}, "column image has the type struct<.*; images must"),
        (
            {"image": pyarrow.array([b"a"]).dictionary_encode(), "label": ["a"]},
            "has the type dictionary<.*; images must",
        ),
    ],
)
def test_parquet_columns_of_other_types_are_refused(columns: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(parquet_bytes(pyarrow.table(columns)))


def test_parquet_row_without_a_file_name_is_refused() -> None:
    data = parquet_bytes(pyarrow.table({"file": ["a.png", None]}))
    with pytest.raises(DataError, match=r"^table.csv: row 1 has no file name; add it, or delete the row$"):
        table(data)


def test_a_parquet_column_of_numbers_holds_no_images() -> None:
    with pytest.raises(DataError, match="the column image has the type int64; images must be names of files"):
        table(parquet_bytes(pyarrow.table({"image": [1, 2]})))


def test_parquet_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    data = parquet_bytes(pyarrow.table({"image": ["1"]}))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'semisup\[parquet\]'"):
        table(data)


# True classes of unlabeled images -----------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(("apple", "bread", "cake")):
        for part in ("training/labeled", "validation"):
            save(tmp_path / f"photos/{part}/{name}/0.png", (80 * number, len(part), 0))
        save(tmp_path / f"photos/training/unlabeled/{number}.png", (80 * number, 5, 250))
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "form", ["training/unlabeled/{}.png", r"training\unlabeled\{}.png", "./training//unlabeled/{}.png"]
)
@pytest.mark.parametrize(("encoding", "separator"), [("utf-8-sig", ","), ("utf-16", "\t"), ("utf-8", ";")])
def test_truth_is_read_in_every_form(root: Path, form: str, encoding: str, separator: str) -> None:
    lines = [f"{form.format(number)}{separator}{name}" for number, name in enumerate(("cake", "2", "bread"))]
    (root / "truth.csv").write_text("\n".join([f"File{separator}Class", *lines, ""]), encoding=encoding)
    assert read(root, "dataset.truth=truth.csv").hidden_targets.tolist() == [2, 2, 1]


def test_truth_with_unknown_classes_gives_one_warning(root: Path) -> None:
    rows = [f"training/unlabeled/{number}.png,{name}" for number, name in enumerate(("CAKE", "bread", "CAKE"))]
    (root / "truth.csv").write_text("\n".join(["file,class", *rows]))
    message = (
        r"truth=truth.csv: a class of the table is not in the data: CAKE \(did you mean cake\?\); the classes of 2 "
        r"images stay unknown; for an image of no class, write other$"
    )
    with pytest.warns(UserWarning, match=message) as heard:
        assert read(root, "dataset.truth=truth.csv").hidden_targets.tolist() == [-1, 1, -1]
    assert len(heard) == 1


def test_truth_with_two_classes_of_one_image_is_refused(root: Path) -> None:
    (root / "truth.csv").write_text("file,class\n" + "training/unlabeled/0.png,cake\ntraining/unlabeled/0.png,bread\n")
    with pytest.raises(DataError, match=r"row 3: training/unlabeled/0.png has the class bread, and cake in row 2$"):
        chosen(root, "dataset.truth=truth.csv").inspect()


def test_truth_is_not_part_of_the_run_id() -> None:
    ids = {
        run_id(checked("dataset=folder", "dataset.root=x", f"dataset.truth={truth}").config) for truth in ("null", "a")
    }
    assert len(ids) == 1
    named = checked("dataset=folder", "dataset.root=x", "dataset.class_column=breed").config
    assert run_id(named) not in ids
