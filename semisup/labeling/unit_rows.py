"""Scale embeddings to unit length."""

from typing import Any

import numpy
from numpy.typing import DTypeLike, NDArray


def unit_rows(embeddings: NDArray[Any], dtype: DTypeLike = numpy.float64) -> NDArray[Any]:
    """Scale each row to unit length, as numbers of type `dtype`; rows of zeros are unchanged."""
    rows = embeddings.astype(dtype)
    lengths = numpy.linalg.norm(rows, axis=1, keepdims=True)
    scaled: NDArray[Any] = rows / numpy.where(lengths > 0, lengths, 1)
    return scaled
