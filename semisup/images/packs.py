"""Read and write packs: cache files with decoded pixels.

A pack contains, in this order:

    prefix: magic bytes, version of the format, length of the header, sha256 of header and length together
    pixels: (n, 3, S, S) uint8
    header: JSON with the pack's key, the indices of the files without pixels and the reasons, the number of files with
            several frames, and the checksums of the pixels

The checksums are verified before any pixel is used.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy

from semisup.images.checksums import BlockChecksums, checksum_blocks, verify_blocks
from semisup.images.decode import Pixels
from semisup.images.on_disk import PackedImages
from semisup.runtime.atomic_files import AtomicFile, write_atomically
from semisup.runtime.descriptors import read_at
from semisup.runtime.temporary_files import remove_stale_temporary_files

MAGIC, FORMAT = b"semisup\n", 3
PREFIX = struct.Struct("<8sII32s")


class ImagePack(NamedTuple):
    """Content of a pack, a cache file with the pixels of a list of image files.

    pixels: (n, 3, S, S) uint8
    bad: for each file without pixels, its index in the list of files -> the reason
    animated: number of images whose file has several frames; only the first frame is decoded
    """

    pixels: Pixels | PackedImages
    bad: Mapping[int, str]
    animated: int


def write_pack(path: Path, pack: ImagePack) -> None:
    """Write the pixels of a pack from memory to a file, atomically.

    Raises:
        OSError: the file cannot be written; for example, the disk is full or read-only.
    """
    assert not isinstance(pack.pixels, PackedImages)
    pixels = pack.pixels.reshape(-1).data
    header = _header(path, pack.bad, pack.animated, checksum_blocks(pixels))
    _prepare_folder(path.parent)
    # without fsync: damage by a power cut is detected when the pack is read
    write_atomically(path, _prefix(header), pixels, header, durable=False)


class PackWriter:
    """Context manager that writes a pack (cache file of pixels) image by image."""

    def __init__(self, folder: Path) -> None:
        _prepare_folder(folder)
        self.file, self.sums, self.count = AtomicFile(folder), BlockChecksums(), 0

    def __enter__(self) -> "PackWriter":
        self.file.__enter__()
        self.file.write(bytes(PREFIX.size))
        return self

    def add(self, image: Pixels) -> None:
        """Append an image, (3, S, S) uint8, to the pack."""
        row = image.reshape(-1).data
        self.file.write(row)
        self.sums.add(row)
        self.count += 1

    def finish(self, path: Path, bad: Mapping[int, str], animated: int, size: int) -> ImagePack:
        """Write the header, rename the file to `path`, and return the pack, without reading the pixels into memory.

        Args:
            bad: for each file without pixels, its index in the list of files -> the reason.
            animated: number of images whose file has several frames.
            size: S, the side of the images.
        """
        header = _header(path, bad, animated, self.sums.all())
        self.file.write(header)
        self.file.commit(path, _prefix(header), durable=False)
        return ImagePack(PackedImages(path, (self.count, 3, size, size), PREFIX.size), bad, animated)

    def __exit__(self, *error: object) -> None:
        self.file.__exit__(None, None, None)


def read_pack(path: Path, count: int, size: int, *, on_disk: bool) -> ImagePack | None:
    """Read a pack (cache file of pixels); None if it is missing or damaged, or does not fit `count` and `size`.

    Args:
        count: number of image files for which the pack was written, including those without pixels.
        size: S, the side of the images.
        on_disk: True = only verify the pixels and leave them in the file; False = read them into memory.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            magic, version, length, signature = PREFIX.unpack(file.read(PREFIX.size))
            rest = os.fstat(file.fileno()).st_size - PREFIX.size - length
            if magic != MAGIC or version != FORMAT or rest < 0 or rest % (3 * size**2):
                return None
            header = read_at(file.fileno(), length, PREFIX.size + rest)
            if _signature(header) != signature:
                return None
            fields = json.loads(header)  # intact, but the file may have been renamed
            shape = (rest // (3 * size**2), 3, size, size)
            if fields["key"] != path.stem or shape[0] + len(fields["bad"]) != count:
                return None
            pixels = PackedImages(path, shape, PREFIX.size) if on_disk else numpy.empty(shape, numpy.uint8)
            into = None if isinstance(pixels, PackedImages) else pixels.reshape(-1).data
            if not verify_blocks(file.fileno(), PREFIX.size, rest, fields["sums"], into):
                return None
    except (OSError, struct.error):
        return None
    return ImagePack(pixels, dict(fields["bad"]), fields["animated"])


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale_temporary_files(folder)


def _header(path: Path, bad: Mapping[int, str], animated: int, sums: Iterable[int]) -> bytes:
    return json.dumps({"key": path.stem, "bad": list(bad.items()), "animated": animated, "sums": [*sums]}).encode()


def _prefix(header: bytes) -> bytes:
    return PREFIX.pack(MAGIC, FORMAT, len(header), _signature(header))


def _signature(header: bytes) -> bytes:
    return hashlib.sha256(header + struct.pack("<I", len(header))).digest()
