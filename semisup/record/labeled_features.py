"""Write and read labeled_features.npz: features of the labeled images, computed by the best model of a run.

A run has this file if its option `reject` compares images with the labeled ones. The file has one array, `features`:
(L, D), rows in the order of the labeled images. It is float16 if this loses nothing, as for the features of an encoder,
and float32 otherwise.
"""

from pathlib import Path

import numpy
from numpy.typing import NDArray

from semisup.errors import RecordError
from semisup.record.float_array import encode_array, read_array

FILE = "labeled_features.npz"
ARRAY = "features"

Features = NDArray[numpy.float32]


def encode_labeled_features(features: Features) -> bytes:
    """Encode (L, D) float32 features as the content of labeled_features.npz."""
    with numpy.errstate(over="ignore"):  # a value beyond the largest float16 becomes infinite, so that it differs
        half = features.astype(numpy.float16)
    return encode_array(ARRAY, half if numpy.array_equal(half.astype(numpy.float32), features) else features)


def read_labeled_features(folder: Path, fewest: int, dimension: int) -> Features:
    """Read labeled_features.npz of a run directory, which may come from an untrusted source.

    Args:
        fewest: smallest number of labeled images with which an image can be compared.
        dimension: D, the number of values of a feature vector.

    Returns:
        (L, D) float32.

    Raises:
        RecordError: the file is missing, cannot be read, or does not fit the model of the run.
    """
    path = folder / FILE
    features = read_array(path, ARRAY, "features")
    if features is None:
        raise RecordError(
            f"{path}: is missing, as in runs of earlier versions; images cannot be compared with the labeled ones "
            "without it: train the run again with another name=NAME"
        )
    if len(features) < fewest or features.shape[1] != dimension:
        shape = " x ".join(map(str, features.shape))
        raise RecordError(f"{path}: has features of shape {shape}, but this run needs at least {fewest} x {dimension}")
    if not numpy.isfinite(features).all():
        raise RecordError(f"{path}: has features that are not finite")
    return features
