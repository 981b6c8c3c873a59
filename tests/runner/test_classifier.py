"""Test a trained run as a Python classifier of files, Pillow images and arrays: it agrees with `semisup predict`."""

import csv
import io
import shutil
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from semisup.errors import DataError, RecordError, SettingError
from semisup.runner.classifier import load_classifier
from semisup.runner.image_inputs import decode_images, list_images
from tests.conftest import Program

RUN = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder with 20 digits as RGB images of 8 x 8 to 19 x 9 pixels."""
    from semisup.dataset.digits import load_digits_csv

    pixels, _ = load_digits_csv()
    (tmp_path / "images" / "inner").mkdir(parents=True)
    for number in range(20):
        gray = Image.fromarray(numpy.rint(pixels[number] * (255 / 16)).astype(numpy.uint8))
        place = tmp_path / "images" / ("inner" if number > 9 else "") / f"{number:02d}.png"
        gray.convert("RGB").resize((8 + number % 12, 8 + number % 2)).save(place)
    return tmp_path / "images"


def test_every_kind_of_input_gives_the_numbers_of_the_command(folder: Path, program: Program) -> None:
    classifier = load_classifier(RUN, device="cpu")
    threads = torch.get_num_threads()
    expected = classifier.probabilities(folder)
    assert (expected.shape, expected.dtype) == ((20, 10), numpy.float32)
    assert expected.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert torch.get_num_threads() == threads

    files = sorted(folder.rglob("*.png"), key=lambda path: str(path.relative_to(folder)))
    pictures = [Image.open(path) for path in files]
    arrays = [numpy.asarray(Image.open(path)) for path in files]
    for images in (files, [str(path) for path in files], pictures, arrays, [*files[:5], *arrays[5:9], *files[9:]]):
        assert numpy.array_equal(classifier.probabilities(images), expected)
    assert classifier.probabilities(files[3]) == pytest.approx(expected[3:4], abs=1e-6)
    same_size = numpy.stack([arrays[0], arrays[0]])
    assert classifier.probabilities(same_size) == pytest.approx(expected[[0, 0]], abs=1e-6)

    labels, confidences = classifier.predict(folder)
    assert labels == [classifier.classes[place] for place in expected.argmax(axis=1)]
    assert numpy.array_equal(confidences, expected.max(axis=1))
    status, output = program("predict", str(RUN), str(folder))
    assert status == 0, output
    rows = list(csv.DictReader(output.splitlines()))
    assert [row["path"] for row in rows] == [path.relative_to(folder).as_posix() for path in files]
    assert [row["class"] for row in rows] == labels
    assert [row["confidence"] for row in rows] == [f"{value:.6f}" for value in confidences.tolist()]


def test_unreadable_image_is_an_error_or_a_row_of_nan(folder: Path) -> None:
    classifier = load_classifier(RUN)
    (folder / "00.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"^00\.png: cannot be read: unidentified \(none of the formats"):
        classifier.predict(folder)
    labels, confidences = classifier.predict(folder, unreadable="nan")
    assert (labels[0], "" in labels[1:]) == ("", False)
    assert numpy.isnan(confidences).tolist() == [True] + 19 * [False]
    embeddings = classifier.embeddings(folder, unreadable="nan")
    assert numpy.isnan(embeddings).all(axis=1).tolist() == [True] + 19 * [False]
    (batch,) = classifier.batches(folder)
    assert batch.reasons == ["unidentified"] + 19 * [None]
    assert batch.names[0] == "00.png"
    assert batch.embeddings is None


def test_embeddings_are_the_input_of_the_last_layer(folder: Path) -> None:
    classifier = load_classifier(RUN)
    embeddings = classifier.embeddings(folder)
    last = [each for each in classifier.models[0].network.modules() if isinstance(each, torch.nn.Linear)][-1]
    assert embeddings.shape == (20, last.in_features)
    probabilities = last(torch.from_numpy(embeddings)).softmax(dim=1).detach().numpy()
    assert probabilities == pytest.approx(classifier.probabilities(folder), abs=1e-5)


def test_batches_bound_the_images_in_memory(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    config = (run / "config.yaml").read_text()
    name = "eval_batch_size" if "eval_batch_size" in config else "scoring_batch_size"
    (run / "config.yaml").write_text(config.replace(f"{name}: 256", f"{name}: 8"))
    sizes = [len(batch.names) for batch in load_classifier(run).batches(folder)]
    assert sizes == [8, 8, 4]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("nowhere.png", r"nowhere\.png: no such file or folder"),
        (numpy.zeros((8, 8, 3), numpy.float32), r"image 0: must be .*, not float32 \(8, 8, 3\)"),
        ([numpy.zeros((8, 8, 4), numpy.uint8)], r"not uint8 \(8, 8, 4\)"),
        ([3], r"not int"),
        (3, r"image 0: must be .*, not int"),
        (None, r"image 0: must be .*, not NoneType"),
        (numpy.zeros((0, 8, 3), numpy.uint8), r"with at least one pixel, not uint8 \(0, 8, 3\)"),
        (numpy.zeros((2, 8, 0, 3), numpy.uint8), r"with at least one pixel, not uint8 \(8, 0, 3\)"),
        (Image.new("RGB", (0, 8)), r"with at least one pixel, not a Pillow image of 0 x 8 pixels"),
    ],
)
def test_what_is_no_image_is_a_data_error(images: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_classifier(RUN).predict(images)  # type: ignore[arg-type]


def test_closed_or_damaged_pillow_image_is_an_unreadable_image(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    random = numpy.random.Generator(numpy.random.Philox(0))
    Image.fromarray(random.integers(0, 256, (64, 64, 3), numpy.uint8)).save(path)
    with Image.open(path) as unread:
        pass
    closed = Image.open(path)
    closed.load()
    closed.close()
    damaged = Image.open(io.BytesIO(path.read_bytes()[:500]))
    settings = load_classifier(RUN).decode_settings
    results = list(decode_images(list_images([unread, closed, damaged, Image.new("RGB", (8, 8))]), settings))
    assert [each.reason for each in results] == ["unreadable", "unreadable", "truncated", None]


@pytest.mark.parametrize("images", [[], [Image.new("RGB", (8, 8))]])
def test_unknown_treatment_of_unreadable_images_is_refused(images: list[Image.Image]) -> None:
    with pytest.raises(SettingError, match="unreadable=skip: must be one of nan, raise"):
        load_classifier(RUN).predict(images, unreadable="skip")  # type: ignore[arg-type]


def test_no_images_give_no_rows() -> None:
    classifier = load_classifier(RUN)
    assert classifier.probabilities([]).shape == (0, 10)
    assert classifier.predict([])[0] == []


def test_refusals_name_the_run_or_the_device(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="embeddings belong to one model; give one run"):
        load_classifier(RUN, RUN).embeddings([])
    with pytest.raises(RecordError, match="the directory of a run"):
        load_classifier(tmp_path)
    with pytest.raises(SettingError, match=r"device=gpu: must be auto, cpu, mps, cuda or cuda:<number>"):
        load_classifier(RUN, device="gpu")
