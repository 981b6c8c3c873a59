"""Write and read predictions.npz: the best model's class probabilities for each image in predictions.csv.

The file has one array, `probabilities`: (n, K) float32 in [0, 1], rows in the order of predictions.csv, columns in the
order of the classes in run.json. Equal probabilities give equal bytes.
"""

from pathlib import Path

import numpy
from numpy.typing import NDArray

from semisup.errors import RecordError
from semisup.record.float_array import encode_array, read_array

FILE = "predictions.npz"
ARRAY = "probabilities"

Probabilities = NDArray[numpy.float32]


def encode_probabilities(probabilities: Probabilities) -> bytes:
    """Encode (n, K) float32 probabilities as the content of predictions.npz."""
    return encode_array(ARRAY, probabilities)


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
    probabilities = read_array(path, ARRAY, "class probabilities")
    if probabilities is None:
        return None
    if probabilities.shape != (rows, num_classes):
        shape = " x ".join(map(str, probabilities.shape))
        raise RecordError(
            f"{path}: has probabilities of shape {shape}, but predictions.csv needs {rows} x {num_classes}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # false for NaN too
        raise RecordError(f"{path}: has probabilities outside [0, 1]")
    return probabilities
