"""Positions of images inside archives, by which they are read without unpacking the archive."""

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from semisup.images.scan import ImageFile


@dataclass(frozen=True, slots=True)
class ArchivedImage(ImageFile):
    """An image inside an archive; the inherited fields `path`, times and `inode` are those of the archive.

    archive_bytes: size of the archive
    position: offset or row of the image in the archive
    """

    archive_bytes: int
    position: int

    def content_key(self) -> str:
        return f"{ImageFile.content_key(self)} {self.archive_bytes} {self.position}"


@dataclass(frozen=True, slots=True)
class TarMember(ArchivedImage):
    """An image in a tar archive; `position` is the offset of its first byte."""


@dataclass(frozen=True, slots=True)
class ZipMember(ArchivedImage):
    """An image in a zip archive; `position` is the offset of its local header.

    packed_bytes: size of the compressed image in the archive
    deflated: whether the image is compressed
    crc: CRC-32 of the image
    """

    packed_bytes: int
    deflated: bool
    crc: int


@dataclass(frozen=True, slots=True)
class ParquetCell(ArchivedImage):
    """An image in a row of a Parquet file.

    The inherited field `position` is the index of the row, from 0, and `bytes_` is an estimate.

    column: path of the column with the bytes of the images, such as `image.bytes`
    """

    column: str

    def content_key(self) -> str:
        return f"{ArchivedImage.content_key(self)} {json.dumps(self.column)}"


def in_storage_order(files: Sequence[ImageFile]) -> list[ImageFile]:
    """Sort images inside archives by archive and position, because reading in this order is fast.

    Images that are not in an archive come first, in their original order.
    """
    archived, others = list[ArchivedImage](), list[ImageFile]()
    for file in files:
        if isinstance(file, ArchivedImage):
            archived.append(file)
        else:
            others.append(file)
    return [*others, *sorted(archived, key=operator.attrgetter("path", "position"))]


def has_parquet(files: Sequence[ImageFile]) -> bool:
    """Whether some of the images are in Parquet files."""
    return any(isinstance(file, ParquetCell) for file in files)
