"""The arguments and the columns of `semisup predict`."""

import csv
import shutil
import sys
import zipfile
from pathlib import Path

import numpy
import pandas
import pytest
from PIL import Image

from semisup.runner.classifier import load_classifier
from tests.conftest import Program

RUN = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three digits, a damaged image and files that are not images."""
    from semisup.dataset.digits import load_digits_csv

    pixels, _ = load_digits_csv()
    folder = tmp_path / "images"
    (folder / "inner").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "inner/c.png")):
        Image.fromarray(numpy.rint(pixels[number] * (255 / 16)).astype(numpy.uint8)).save(folder / name)
    (folder / "damaged.png").write_bytes(b"not an image")
    for name in ("notes.txt", "inner/README", ".hidden"):
        (folder / name).write_text("text")
    (folder / "link.png").symlink_to("a.png")
    return folder


def rows(program: Program, *words: str) -> list[dict[str, str]]:
    status, output = program("predict", *words)
    assert status == 0, output
    lines = output.splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("semisup predict: ignored")))


IGNORED = {
    ".hidden": "ignored: hidden",
    "inner/README": "ignored: no suffix of an image",
    "link.png": "ignored: symlink",
    "notes.txt": "ignored: .txt is no suffix of an image",
}


def test_every_file_of_a_folder_has_a_row(images: Path, program: Program) -> None:
    table = rows(program, str(RUN), str(images))
    problems = {row["path"]: row["problem"] for row in table}
    assert problems == {"a.png": "", "b.png": "", "damaged.png": "unidentified", "inner/c.png": "", **IGNORED}
    assert [row["path"] for row in table] == ["a.png", "b.png", "damaged.png", "inner/c.png", *sorted(IGNORED)]
    assert all((row["class"] == "") == (row["problem"] != "") for row in table)


def test_files_and_folders_are_named_as_typed(images: Path, program: Program) -> None:
    whole = {row["path"]: row for row in rows(program, str(RUN), str(images))}
    one = rows(program, str(RUN), "images/b.png")
    assert [(row["path"], row["class"]) for row in one] == [("images/b.png", whole["b.png"]["class"])]
    several = rows(program, str(RUN), "images/b.png", "images/inner", "images/damaged.png")
    assert [row["path"] for row in several] == [
        "images/b.png", "images/inner/c.png", "images/damaged.png", "images/inner/README",
    ]  # fmt: skip
    assert several[1]["class"] == whole["inner/c.png"]["class"]


def test_archive_is_read_like_a_folder(images: Path, program: Program) -> None:
    whole = {row["path"]: row for row in rows(program, str(RUN), str(images)) if row["problem"] not in IGNORED.values()}
    with zipfile.ZipFile("images.zip", "w") as archive:
        for name in (*whole, "notes.txt", "inner/README", ".hidden"):
            archive.write(images / name, name)
    table = {row["path"]: row for row in rows(program, str(RUN), "images.zip")}
    ignored = [".hidden", "inner/README", "notes.txt"]
    assert list(table) == [*whole, *ignored]
    assert {name: table[name] for name in whole} == whole
    assert {name: table[name]["problem"] for name in ignored} == {name: IGNORED[name] for name in ignored}
    several = rows(program, str(RUN), "images.zip", "images/a.png")
    names = [*(f"images.zip/{name}" for name in whole), "images/a.png", *(f"images.zip/{name}" for name in ignored)]
    assert [row["path"] for row in several] == names


def test_every_row_of_a_table_has_a_row_in_its_order(images: Path, program: Program) -> None:
    whole = {row["path"]: row for row in rows(program, str(RUN), str(images))}
    listed = ["inner\\c", "a.png", "missing.png", "damaged.png", "a.png"]
    (images / "list.csv").write_text("id;photo\n" + "".join(f"{n};{name}\n" for n, name in enumerate(listed)))
    table = rows(program, str(RUN), "images/list.csv")
    assert [row["path"] for row in table] == ["inner/c", *listed[1:]]
    assert [row["problem"] for row in table] == ["", "", "unreadable", "unidentified", ""]
    assert [row["class"] for row in table[:2]] == [whole[name]["class"] for name in ("inner/c.png", "a.png")]
    (images / "list.csv").write_text("my_column\nb.png\n")
    status, output = program("predict", str(RUN), "images/list.csv")
    assert status == 2
    assert "type --file-column=" in output
    (row,) = rows(program, str(RUN), "images/list.csv", "--file-column=my_column")
    assert (row["path"], row["class"]) == ("b.png", whole["b.png"]["class"])


@pytest.mark.parametrize("name", ["list.parquet", "list.csv"])
def test_row_of_a_table_without_a_file_name_is_unreadable(images: Path, program: Program, name: str) -> None:
    if name == "list.csv":
        (images / name).write_text("path,n\na.png,1\n,2\nb.png,3\n")
    else:
        pytest.importorskip("pyarrow")
        pandas.DataFrame({"path": ["a.png", None, "b.png"]}).to_parquet(images / name)
    for words in ([f"images/{name}"], [f"images/{name}", "images/a.png"]):
        table = rows(program, str(RUN), *words)[:3]
        assert [Path(row["path"]).name for row in table] == ["a.png", "", "b.png"]
        assert [row["problem"] for row in table] == ["", "unreadable", ""]
        assert (table[1]["path"], table[1]["class"]) == ("", "")


def test_output_file_is_replaced_only_if_asked_for(images: Path, program: Program) -> None:
    Path("labels.csv").write_text("the work of a week")
    words = ("predict", str(RUN), "images/a.png", "--output", "labels.csv")
    status, output = program(*words)
    assert status == 2
    refusal = "the file exists already; add --overwrite to replace it, or type another name"
    assert output == f"semisup predict: --output labels.csv: {refusal}\n"
    assert Path("labels.csv").read_text() == "the work of a week"
    assert program(*words, "--overwrite")[0] == 0
    assert Path("labels.csv").read_text().startswith("path,class,confidence,problem")


def test_columns_of_top_probabilities_and_embeddings(images: Path, program: Program) -> None:
    classifier = load_classifier(RUN, device="cpu")
    readable = [images / "a.png", images / "b.png", images / "inner/c.png"]
    expected, embeddings = classifier.probabilities(readable), classifier.embeddings(readable)
    table = rows(program, str(RUN), str(images), "--top=3", "--probabilities", "--embeddings")
    read = [row for row in table if not row["problem"]]
    names = [f"probability/{name}" for name in classifier.classes]
    assert numpy.array([[float(row[name]) for name in names] for row in read]) == pytest.approx(expected, abs=1e-6)
    dimensions = range(embeddings.shape[1])
    found = numpy.array([[row[f"embedding/{place}"] for place in dimensions] for row in read]).astype(numpy.float32)
    assert found == pytest.approx(embeddings, rel=1e-5, abs=1e-6)
    for row, values in zip(read, expected, strict=True):
        best = numpy.argsort(-values)[:3]
        assert [row["class"], row["class_2"], row["class_3"]] == [classifier.classes[place] for place in best]
        shown = [float(row[name]) for name in ("confidence", "confidence_2", "confidence_3")]
        assert shown == pytest.approx(values[best], abs=1e-6)
    unread = [row for row in table if row["problem"]]
    assert len(unread) == 5
    assert {value for row in unread for name, value in row.items() if name not in ("path", "problem")} == {""}


def test_parquet_has_the_values_of_the_csv(images: Path, program: Program) -> None:
    options = ("--top=2", "--probabilities", "--embeddings")
    pytest.importorskip("pyarrow")
    table = rows(program, str(RUN), str(images), *options)
    status, output = program("predict", str(RUN), str(images), *options, "--output", "table.parquet")
    assert (status, "4 images: table.parquet" in output) == (0, True), output
    frame = pandas.read_parquet("table.parquet")
    for name in ("path", "class", "class_2", "problem"):
        assert frame[name].fillna("").tolist() == [row[name] for row in table]
    for name in ("confidence", "confidence_2", "probability/3"):
        assert frame[name].dropna().tolist() == pytest.approx(
            [float(row[name]) for row in table if row[name]], abs=1e-6
        )
    embeddings = numpy.stack(frame["embedding"].dropna().tolist())
    assert embeddings == pytest.approx(
        load_classifier(RUN).embeddings([images / row for row in frame["path"][[0, 1, 3]]])
    )
    assert [path.name for path in Path.cwd().iterdir()] == ["images", "table.parquet"]


def test_parquet_without_pyarrow_is_refused_before_any_work(
    images: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    status, output = program("predict", "nowhere", str(images), "--output=table.parquet")
    assert status == 2
    assert output == (
        "semisup predict: --output table.parquet needs the package pyarrow; type pip install 'semisup[parquet]'\n"
    )


@pytest.mark.parametrize("top", ["0", "11"])
def test_top_is_bounded_by_the_classes(images: Path, program: Program, top: str) -> None:
    status, output = program("predict", str(RUN), str(images), f"--top={top}")
    assert status == 2
    assert f"--top={top}: must be from 1 to 10, the number of classes" in output


def test_images_before_the_run_are_refused_with_the_order_to_type(images: Path, program: Program) -> None:
    shutil.copytree(RUN, "run")
    status, output = program("predict", "images", "run")
    assert status == 2
    message = "images: is not the directory of a run; the run comes first: type semisup predict run images"
    assert output == f"semisup predict: {message}\n"


def test_paths_after_a_flag_are_images(images: Path, program: Program) -> None:
    assert program("predict", str(RUN), "--probabilities", "images") == program(
        "predict", str(RUN), "images", "--probabilities"
    )


def test_folder_of_a_sweep_is_answered_with_the_line_to_type(images: Path, program: Program) -> None:
    run = Path("outputs/mine/run")
    shutil.copytree(RUN, run)
    for folder in ("outputs/mine", "outputs"):
        status, output = program("predict", folder, "images")
        assert status == 2
        assert output == (
            f"semisup predict: {folder}: is a folder of runs; type semisup predict {run} images for the best "
            "run on validation\n"
        )
    assert program(*output.partition("type semisup ")[2].partition(" for ")[0].split())[0] == 0
    status, output = program("predict", str(run))
    assert status == 2
    assert output == f"semisup predict: no images are given after the run; type semisup predict {run} images/\n"
