"""A few images of a data set, by the names that a record calls them, without reading more than must be.

For `compare`; the underscore says that this is no data set to choose.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from semisup.dataset._image_files import FileIndex
from semisup.dataset._protocol import Dataset, DatasetInfo
from semisup.errors import DataError
from semisup.images.cache import read

MAX_BYTES = 2**30  # of pixels, where all have to be read for a few

T = TypeVar("T")


def some_images(dataset: Dataset, split: str, names: Sequence[str], fingerprint: str | None) -> dict[str, Tensor]:
    """The images of these names: (C, S, S) uint8 each. One that is not there, or is no picture, is left out.

    Of a data set of files these files alone are opened. Another is read as a whole, where it is not too large, and must
    have the fingerprint that the record names.

    Raises:
        DataError, SettingError: the data set is not there, is another one, or is too large.
    """
    info = dataset.survey()
    if not isinstance(info.found, FileIndex):
        return _of_whole(dataset, info, split, names, fingerprint)
    wanted = set(names)
    files = [file for file in info.found.parts[split].files if file.name in wanted]
    if not files:
        return {}
    pictures = read(files, dataset.recipe(), None, 1, _unwatched)
    return dict(zip(pictures.names, torch.from_numpy(pictures.pixels), strict=True))


def _of_whole(
    dataset: Dataset, info: DatasetInfo, split: str, names: Sequence[str], fingerprint: str | None
) -> dict[str, Tensor]:
    count = sum(info.counts.values())
    if count * info.channels * info.size**2 > MAX_BYTES:
        raise DataError(f"{count} images of {info.size} x {info.size} pixels are too many to read for a few of them")
    data = dataset.read(info, _unwatched)
    if fingerprint is not None and data.fingerprint != fingerprint:
        raise DataError("the data set is not the one of the run: its files, their contents or the split differ")
    images, wanted = getattr(data, split), set(names)
    return {name: images.pixels[number] for number, name in enumerate(images.paths) if name in wanted}


def _unwatched(items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
    return items
