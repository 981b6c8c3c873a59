"""List and decode images for a trained model: from files, folders, archives, tables, Pillow images and arrays."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy
from numpy.typing import NDArray
from PIL import Image

from semisup.errors import DataError
from semisup.images.archive import is_archive, list_archives
from semisup.images.decode import BadImageError, convert_image
from semisup.images.decode_settings import DecodeSettings
from semisup.images.formats import SUFFIXES
from semisup.images.ignored_files import with_ignored
from semisup.images.pool import DecodeResult, decode_files, max_workers
from semisup.images.scan import ImageFile, image_file, scan, shown


class MemoryImage(NamedTuple):
    """An image in memory, and its name in the table of predictions."""

    name: str
    image: Image.Image


ImageItem: TypeAlias = ImageFile | MemoryImage

ImageInput: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[numpy.uint8] | ImageItem
"""One or several images.

Allowed are: the path of an image file, of a folder or archive (tar, zip) with images, or of a table of image paths; a
Pillow image; a uint8 array (H, W, 3); and an item from the result of `list_images`.
"""


def list_images(
    images: ImageInput | Iterable[ImageInput],
    ignored_names: dict[str, str] | None = None,
    file_column: str | None = None,
) -> list[ImageItem]:
    """List the images in files, folders, archives, tables and memory.

    Images in memory are named by their position in `images`, from 0. Files are named by their path; if only one folder
    or archive is given, the path is relative to it. Files of a folder are sorted by name. If only one table is given,
    names and order are those of the table.

    Args:
        images: one or several inputs; an array (n, H, W, 3) is n images.
        ignored_names: a dict to which the function adds the name of each file in a folder or archive that is not an
            image, and the reason.
        file_column: name of the column with the paths in tables; None = the column that has a usual name, such as
            `file`.

    Raises:
        DataError: a file or folder does not exist, a folder contains no images, or a value is not an image.
    """
    if isinstance(images, str | os.PathLike):
        return _listed(Path(images), "", ignored_names, file_column) or [image_file(Path(images))]
    several: Iterable[object]
    if isinstance(images, Image.Image | ImageFile | MemoryImage):
        several = [images]
    elif isinstance(images, numpy.ndarray):
        several = [images] if images.ndim < 4 else list(images)
    elif isinstance(images, Iterable):
        several = images
    else:
        several = [images]
    return [
        item for position, image in enumerate(several) for item in _items(image, position, ignored_names, file_column)
    ]


def decode_images(items: list[ImageItem], settings: DecodeSettings) -> Iterator[DecodeResult]:
    """Decode images, and yield the results in the order of `items`; files are decoded in other processes."""
    for are_files, group in itertools.groupby(items, key=lambda item: isinstance(item, ImageFile)):
        if are_files:
            files = [item for item in group if isinstance(item, ImageFile)]
            yield from decode_files(files, settings, max_workers())
        else:
            yield from (_convert(item, settings) for item in group if isinstance(item, MemoryImage))


def _items(
    image: object, position: int, ignored_names: dict[str, str] | None, file_column: str | None
) -> list[ImageItem]:
    if isinstance(image, ImageFile | MemoryImage):
        return [image]
    if isinstance(image, str | os.PathLike):
        prefix = f"{shown(Path(image))}/"
        return _listed(Path(image), prefix, ignored_names, file_column) or [image_file(Path(image))]
    if isinstance(image, Image.Image) and image.width and image.height:
        return [MemoryImage(str(position), image)]
    is_rgb = isinstance(image, numpy.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.size > 0
    if isinstance(image, numpy.ndarray) and is_rgb and image.dtype == numpy.uint8:
        return [MemoryImage(str(position), Image.fromarray(image))]
    if isinstance(image, Image.Image):
        given = f"a Pillow image of {image.width} x {image.height} pixels"
    else:
        given = f"{image.dtype} {image.shape}" if isinstance(image, numpy.ndarray) else type(image).__name__
    raise DataError(
        f"image {position}: must be a path, a Pillow image or a uint8 array of shape (height, width, 3) "
        f"with at least one pixel, not {given}"
    )


def _listed(path: Path, prefix: str, ignored_names: dict[str, str] | None, file_column: str | None) -> list[ImageItem]:
    """List the images in a folder, an archive or a table; [] for any other path.

    Args:
        prefix: text to put before the name of each image.
        ignored_names, file_column: see `list_images`.

    Raises:
        DataError: there are no images, or the archive or the table is not valid.
    """
    if path.suffix.lower() not in SUFFIXES and path.is_file() and not is_archive(path) and _is_table(path):
        from semisup.dataset import named_images

        named = named_images(path, {"file": file_column})
        return [replace(file, name=prefix + file.name if file.name else "") for file in named]
    files: Sequence[ImageFile]
    ignored: Mapping[str, int]
    if path.is_dir():
        names: dict[str, str] | None = None if ignored_names is None else {}
        result = scan(path, path, follow_symlinks=False, ignored_names=names)
        files, ignored = result.files, result.ignored | result.suffixes
        if ignored_names is not None and names is not None:
            ignored_names.update({prefix + name: names[name] for name in sorted(names)})
    elif path.is_file() and is_archive(path):
        listing = list_archives([path], keep_names=ignored_names is not None)
        if ignored_names is not None:
            ignored_names.update({prefix + name: reason for name, reason in sorted(listing.ignored_names.items())})
        counts = Counter[str]()
        for (_, reason), count in listing.ignored.items():
            counts[reason] += count
        files, ignored = listing.images, counts
    else:
        return []
    if not files:
        raise DataError(with_ignored(f"{path}: holds no image files", ignored))
    return [*sorted((replace(file, name=prefix + file.name) for file in files), key=lambda file: file.name)]


def _is_table(path: Path) -> bool:
    from semisup.dataset import is_table  # imports torch, which takes seconds

    return is_table(path)


def _convert(item: MemoryImage, settings: DecodeSettings) -> DecodeResult:
    try:
        return DecodeResult(item.name, "", convert_image(item.image, settings), False, None)
    except BadImageError as error:
        return DecodeResult(item.name, "", None, False, error.reason)
