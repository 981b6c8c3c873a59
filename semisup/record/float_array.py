"""Write and read npz files with one float array, which may come from an untrusted source.

The array is (rows, columns), of type float32 or float16. Equal arrays give equal bytes.
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

MAX_BYTES = 2**30
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(rb"\{'descr': '<(f[24])', 'fortran_order': False, 'shape': \((\d{1,12}), (\d{1,12})\), \} *\n")

Floats = NDArray[numpy.float32]


def encode_array(name: str, array: NDArray[Any]) -> bytes:
    """Encode an array, (rows, columns) float32 or float16, as the content of an npz file."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: array}
    numpy.savez(buffer, **arrays)
    return buffer.getvalue()


def read_array(path: Path, name: str, content: str) -> Floats | None:
    """Read an npz file that `encode_array` wrote.

    No code is executed, and the memory used is bounded by the size of the file.

    Args:
        name: name of the array.
        content: what the array contains, for error messages, such as "class probabilities".

    Returns:
        (rows, columns) float32; None if the file is missing.

    Raises:
        RecordError: the file cannot be read, or was not written by `encode_array`.
    """
    if not path.exists():
        return None
    try:
        return _decode(read_bytes(path, MAX_BYTES), name)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read" + (f": {error.strerror}" if error.strerror else "")) from None
    except (ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise RecordError(f"{path}: is not a file of {content} written by semisup") from None


def _decode(payload: bytes, name: str) -> Floats:
    """Decode the array of an npz file.

    Raises:
        ValueError, BadZipFile: the file was not written by `encode_array`.
    """
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        (part,) = archive.infolist()
        if part.filename != f"{name}.npy" or part.compress_type != zipfile.ZIP_STORED or part.file_size > len(payload):
            raise ValueError("another part")
        content = archive.read(part)
    file = io.BytesIO(content)
    if file.read(len(MAGIC)) != MAGIC:
        raise ValueError("another format or version")
    # parsed here, because numpy would allocate any size that a header states
    header = HEADER.fullmatch(file.read(int.from_bytes(file.read(2), "little")))
    if header is None:
        raise ValueError("another header")
    kind = numpy.dtype(f"<{header[1].decode()}")
    shape = int(header[2]), int(header[3])
    if kind.itemsize * math.prod(shape) != len(content) - file.tell():
        raise ValueError("another size")
    array = numpy.frombuffer(content, kind, offset=file.tell()).reshape(shape)
    return array.astype(numpy.float32, copy=False)
