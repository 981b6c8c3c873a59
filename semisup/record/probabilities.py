"""Write and read predictions.npz: the class probabilities of each image in predictions.csv, by the best model of a run.

The file has one array, `probabilities`: (n, K) float32 in [0, 1], rows in the order of predictions.csv, columns in the
order of the classes in run.json. Equal probabilities give equal bytes.
"""

import io
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from semisup.errors import RecordError
from semisup.record.reader import read_bytes

FILE = "predictions.npz"
ARRAY = "probabilities"
MAX_BYTES = 2**30
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(rb"\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d{1,12}), (\d{1,12})\), \} *\n")

Probabilities = NDArray[numpy.float32]


def encode_probabilities(probabilities: Probabilities) -> bytes:
    """Encode (n, K) float32 probabilities as the content of predictions.npz."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {ARRAY: probabilities}
    numpy.savez(buffer, **arrays)
    return buffer.getvalue()


def read_probabilities(folder: Path, rows: int, num_classes: int) -> Probabilities | None:
    """Read predictions.npz of a run directory, which may come from an untrusted source.

    No code is executed, and the memory used is bounded by the size of the file.

    Args:
        rows: number of rows of predictions.csv.
        num_classes: K.

    Returns:
        (rows, num_classes) float32 in [0, 1]; None if the file is missing, as in runs of earlier versions.

    Raises:
        RecordError: the file cannot be read, or was not written by `encode_probabilities`.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        probabilities = _decode(read_bytes(path, MAX_BYTES))
    except OSError as error:
        raise RecordError(f"{path}: cannot be read" + (f": {error.strerror}" if error.strerror else "")) from None
    except (ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise RecordError(f"{path}: is not a file of class probabilities written by semisup") from None
    if probabilities.shape != (rows, num_classes):
        shape = " x ".join(map(str, probabilities.shape))
        raise RecordError(
            f"{path}: has probabilities of shape {shape}, but predictions.csv needs {rows} x {num_classes}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # false for NaN too
        raise RecordError(f"{path}: has probabilities outside [0, 1]")
    return probabilities


def _decode(payload: bytes) -> Probabilities:
    """Decode the array of an npz file.

    Raises:
        ValueError, BadZipFile: the file was not written by `encode_probabilities`.
    """
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        (part,) = archive.infolist()
        if part.filename != f"{ARRAY}.npy" or part.compress_type != zipfile.ZIP_STORED or part.file_size > len(payload):
            raise ValueError("another part")
        content = archive.read(part)
    file = io.BytesIO(content)
    if file.read(len(MAGIC)) != MAGIC:
        raise ValueError("another format or version")
    # parsed here, because numpy would allocate any size that a header states
    header = HEADER.fullmatch(file.read(int.from_bytes(file.read(2), "little")))
    if header is None:
        raise ValueError("another header")
    shape = int(header[1]), int(header[2])
    if 4 * math.prod(shape) != len(content) - file.tell():
        raise ValueError("another size")
    return numpy.frombuffer(content, "<f4", offset=file.tell()).reshape(shape)
