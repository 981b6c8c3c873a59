"""The images that a trained model is applied to: files, folders, Pillow images and arrays."""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy
from numpy.typing import NDArray
from PIL import Image

from semisup.errors import DataError
from semisup.images.decode import BadImageError, convert_image
from semisup.images.decode_settings import DecodeSettings
from semisup.images.pool import DecodeResult, decode_files, max_workers
from semisup.images.scan import ImageFile, image_file, scan, with_ignored

ImageInput: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[numpy.uint8] | ImageFile
"""One image, or a folder of images.

A path (of a file, or of a folder that is searched for images), a Pillow image, a uint8 array of shape (H, W, 3), or a
file that a scan listed.
"""


class _InMemory(NamedTuple):
    name: str
    image: Image.Image


_Item = ImageFile | _InMemory


def list_images(images: ImageInput | Iterable[ImageInput]) -> list[_Item]:
    """List images, with the files of each folder sorted by name.

    Files of a folder are named relative to the folder, other files by their path, and images in memory by their
    position in `images`, from 0. An array of shape (n, H, W, 3) is n images.

    Raises:
        DataError: a file or folder does not exist, a folder contains no images, or a value is not an image.
    """
    if isinstance(images, str | os.PathLike | Image.Image | ImageFile):
        images = [images]
    elif isinstance(images, numpy.ndarray):
        images = [images] if images.ndim < 4 else list(images)
    return [item for position, image in enumerate(images) for item in _items(image, position)]


def decode_images(items: list[_Item], settings: DecodeSettings) -> Iterator[DecodeResult]:
    """Decode images in order; files are decoded in other processes, as for a run."""
    for are_files, group in itertools.groupby(items, key=lambda item: isinstance(item, ImageFile)):
        if are_files:
            files = [item for item in group if isinstance(item, ImageFile)]
            yield from decode_files(files, settings, max_workers())
        else:
            yield from (_convert(item, settings) for item in group if isinstance(item, _InMemory))


def _items(image: object, position: int) -> list[_Item]:
    if isinstance(image, ImageFile):
        return [image]
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        return [*_files(path)] if path.is_dir() else [image_file(path)]
    if isinstance(image, Image.Image):
        return [_InMemory(str(position), image)]
    if isinstance(image, numpy.ndarray) and image.dtype == numpy.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return [_InMemory(str(position), Image.fromarray(image))]
    given = f"{image.dtype} {image.shape}" if isinstance(image, numpy.ndarray) else type(image).__name__
    raise DataError(
        f"image {position}: must be a path, a Pillow image or a uint8 array of shape (height, width, 3), not {given}"
    )


def _files(folder: Path) -> list[ImageFile]:
    result = scan(folder, folder, follow_symlinks=False)
    if not result.files:
        raise DataError(with_ignored(f"{folder}: holds no image files", result.ignored | result.suffixes))
    return sorted(result.files, key=lambda file: file.name)


def _convert(item: _InMemory, settings: DecodeSettings) -> DecodeResult:
    try:
        return DecodeResult(item.name, "", convert_image(item.image, settings), False, None)
    except BadImageError as error:
        return DecodeResult(item.name, "", None, False, error.reason)
