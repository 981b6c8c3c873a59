"""predictions.npz: what is written is read, and nothing else."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest

from semisup.errors import RecordError
from semisup.record.labeled_features import encode_labeled_features, read_labeled_features
from semisup.record.probabilities import encode_probabilities, read_probabilities

VALUES = numpy.array([[0.25, 0.75, 0], [1, 0, 0], [0.5, 0.25, 0.25], [0.125, 0.375, 0.5]], numpy.float32)


def written(folder: Path, content: bytes) -> Path:
    (folder / "predictions.npz").write_bytes(content)
    return folder


def test_probabilities_are_read_as_they_were_written(tmp_path: Path) -> None:
    content = encode_probabilities(VALUES)
    assert content == encode_probabilities(VALUES.copy())
    result = read_probabilities(written(tmp_path, content), 4, 3)
    assert result is not None
    assert result.dtype == numpy.float32
    assert (result == VALUES).all()
    with numpy.load(tmp_path / "predictions.npz", allow_pickle=False) as archive:
        assert (archive["probabilities"] == VALUES).all()


def test_missing_probabilities_are_none(tmp_path: Path) -> None:
    assert read_probabilities(tmp_path, 4, 3) is None


def archive(name: str = "probabilities.npy", compress: int = zipfile.ZIP_STORED, content: bytes | None = None) -> bytes:
    buffer, array = io.BytesIO(), io.BytesIO()
    numpy.save(array, VALUES)
    with zipfile.ZipFile(buffer, "w", compress) as file:
        file.writestr(name, array.getvalue() if content is None else content)
    return buffer.getvalue()


def saved(array: Any) -> bytes:
    buffer = io.BytesIO()
    numpy.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def with_header(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + VALUES.tobytes()


class Trap:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trap"),)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        archive()[:-30],
        archive(name="other.npy"),
        archive(compress=zipfile.ZIP_DEFLATED),
        archive(content=b"\x93NUMPY"),
        archive(content=saved(VALUES.astype(numpy.float64))),
        archive(content=saved(numpy.array([[Trap()] * 3] * 4, dtype=object))),
        archive(content=with_header("(1000000000000, 3)")),
        archive(content=with_header("(4, -3)")),
        archive(content=with_header("(12,)")),
        archive(content=with_header("(" * 500 + ")" * 500)),
    ],
)
def test_other_content_is_refused_without_unpickling(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordError, match=r"predictions\.npz: is not a file of class probabilities"):
        read_probabilities(written(tmp_path, content), 4, 3)
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (VALUES[:3], "has probabilities of shape 3 x 3, but predictions.csv needs 4 x 3"),
        (VALUES * 2, r"outside \[0, 1\]"),
        (VALUES * numpy.float32("nan"), r"outside \[0, 1\]"),
    ],
)
def test_probabilities_that_do_not_fit_are_refused(values: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=message):
        read_probabilities(written(tmp_path, encode_probabilities(values)), 4, 3)


def test_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "predictions.npz").mkdir()
    with pytest.raises(RecordError, match=r"predictions\.npz: "):
        read_probabilities(tmp_path, 4, 3)


@pytest.mark.parametrize(("values", "kind"), [(VALUES, "<f2"), (VALUES + numpy.float32(1e-5), "<f4")])
def test_labeled_features_are_stored_without_loss(values: Any, kind: str, tmp_path: Path) -> None:
    content = encode_labeled_features(values)
    assert kind.encode() in content
    (tmp_path / "labeled_features.npz").write_bytes(content)
    result = read_labeled_features(tmp_path, 4, 3)
    assert result.dtype == numpy.float32
    assert (result == values).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encode_labeled_features(VALUES[:1]), "has features of shape 1 x 3, but this run needs at least 2 x 3"),
        (encode_labeled_features(VALUES[:, :2]), "has features of shape 4 x 2"),
        (encode_labeled_features(VALUES * numpy.float32("nan")), "not finite"),
        (encode_probabilities(VALUES), "is not a file of features written by semisup"),
    ],
)
def test_labeled_features_that_do_not_fit_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "labeled_features.npz").write_bytes(content)
    with pytest.raises(RecordError, match=message):
        read_labeled_features(tmp_path, 2, 3)
