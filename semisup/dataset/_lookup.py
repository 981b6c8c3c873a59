"""Look up images of a data set by name, without reading more than necessary."""

from collections.abc import Sequence

from torch import Tensor

from semisup.dataset._file_index import FileIndex
from semisup.dataset._protocol import Dataset, DatasetInfo, ReadsSome
from semisup.errors import DataError
from semisup.images.archive_members import ArchivedImage
from semisup.images.cache import no_progress

MAX_BYTES = 2**30
"""Largest data set, in bytes of pixels, that is read as a whole if only a few of its images are needed."""


def image_files(info: DatasetInfo) -> dict[str, str]:
    """Map the name of each image to the path of its file; {} if images are inside an archive or an array."""
    if not isinstance(info.index, FileIndex):
        return {}
    files = [file for part in info.index.parts.values() for file in part.files]
    if any(isinstance(file, ArchivedImage) for file in files):
        return {}
    return {file.name: file.path for file in files}


def some_images(dataset: Dataset, split: str, names: Sequence[str], fingerprint: str | None) -> dict[str, Tensor]:
    """Read the images with these names: name -> (C, S, S) uint8. Missing and undecodable images are left out.

    A data set that cannot read single images is read as a whole, if it has at most MAX_BYTES of pixels.

    Args:
        split: the split that contains the images.
        fingerprint: expected fingerprint of the data set, compared if it is read as a whole; None = do not compare.

    Raises:
        DataError, SettingError: the data set is missing or too large, or has another fingerprint.
    """
    info = dataset.inspect()
    if isinstance(dataset, ReadsSome):
        return dataset.read_some(info, split, names)
    return _from_all(dataset, info, split, names, fingerprint)


def _from_all(
    dataset: Dataset, info: DatasetInfo, split: str, names: Sequence[str], fingerprint: str | None
) -> dict[str, Tensor]:
    count = sum(info.counts.values())
    if count * info.channels * info.size**2 > MAX_BYTES:
        size = f"{info.size} x {info.size} pixels"
        raise DataError(
            f"{count} images of {size} are too many to be read at once, and this data set can only be read as a whole"
        )
    data = dataset.read(info, no_progress)
    if fingerprint is not None and data.fingerprint != fingerprint:
        raise DataError("the data set differs from that of the run: its files, their contents or the split changed")
    images, wanted = getattr(data, split), set(names)
    return {name: images.pixels[number] for number, name in enumerate(images.paths) if name in wanted}
