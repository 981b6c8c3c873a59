"""A pack: the pixels of many pictures in one file, of which nothing is served that its checksums do not fit.

    magic, version of the format, length of the header, sha256 of the header and that length
    pixels, (n, 3, S, S) uint8
    header: JSON of the pack's own key, the files without pixels and why, and the checksums of the pixels' blocks

The header comes last, for it is known last. A pack is not forced to the disk when it is written: what a power cut makes
of it is found when it is read, like any other damage, and the pack is made anew.
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
from semisup.runtime.atomic_files import AtomicFile, remove_stale_temporary_files, write_atomically

MAGIC, FORMAT = b"semisup\n", 3
PREFIX = struct.Struct("<8sII32s")


class ImagePack(NamedTuple):
    """pixels: (n, 3, S, S); bad: position -> reason of each file without a row; animated: how many rows are the first
    of several frames."""

    pixels: Pixels | PackedImages
    bad: Mapping[int, str]
    animated: int


def write_pack(path: Path, pack: ImagePack) -> None:
    """Put it there.

    Raises:
        OSError: disk full, read-only, ...
    """
    assert not isinstance(pack.pixels, PackedImages)
    pixels = pack.pixels.reshape(-1).data
    header = _header(path, pack.bad, pack.animated, checksum_blocks(pixels))
    _make_room(path.parent)
    write_atomically(path, _prefix(header), pixels, header, sure=False)


class PackWriter:
    """A pack that is written picture by picture, a context; `end` gives it its name and its rows."""

    def __init__(self, folder: Path) -> None:
        _make_room(folder)
        self.file, self.sums, self.count = AtomicFile(folder), BlockChecksums(), 0

    def __enter__(self) -> "PackWriter":
        self.file.__enter__()
        self.file.write(bytes(PREFIX.size))
        return self

    def add(self, picture: Pixels) -> None:
        """(3, S, S)."""
        row = picture.reshape(-1).data
        self.file.write(row)
        self.sums.add(row)
        self.count += 1

    def end(self, path: Path, bad: Mapping[int, str], animated: int, size: int) -> ImagePack:
        header = _header(path, bad, animated, self.sums.all())
        self.file.write(header)
        self.file.commit(path, _prefix(header), sure=False)
        return ImagePack(PackedImages(path, (self.count, 3, size, size), PREFIX.size), bad, animated)

    def __exit__(self, *error: object) -> None:
        self.file.__exit__(None, None, None)


def read_pack(path: Path, count: int, size: int, *, stored: bool) -> ImagePack | None:
    """The pack of `count` files at S = `size`; None if it is not there or not whole. `stored`: read through once."""
    try:
        with open(path, "rb", buffering=0) as file:
            magic, version, length, wanted = PREFIX.unpack(file.read(PREFIX.size))
            rest = os.fstat(file.fileno()).st_size - PREFIX.size - length
            if magic != MAGIC or version != FORMAT or rest < 0 or rest % (3 * size**2):
                return None
            header = os.pread(file.fileno(), length, PREFIX.size + rest)
            if _signature(header) != wanted:
                return None
            fields = json.loads(header)  # as we wrote it, though maybe under another name
            shape = (rest // (3 * size**2), 3, size, size)
            if fields["key"] != path.stem or shape[0] + len(fields["bad"]) != count:
                return None
            pixels = PackedImages(path, shape, PREFIX.size) if stored else numpy.empty(shape, numpy.uint8)
            into = None if isinstance(pixels, PackedImages) else pixels.reshape(-1).data
            if not verify_blocks(file.fileno(), PREFIX.size, rest, fields["sums"], into):
                return None
    except (OSError, struct.error):
        return None
    return ImagePack(pixels, dict(fields["bad"]), fields["animated"])


def _make_room(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale_temporary_files(folder)


def _header(path: Path, bad: Mapping[int, str], animated: int, sums: Iterable[int]) -> bytes:
    return json.dumps({"key": path.stem, "bad": list(bad.items()), "animated": animated, "sums": [*sums]}).encode()


def _prefix(header: bytes) -> bytes:
    return PREFIX.pack(MAGIC, FORMAT, len(header), _signature(header))


def _signature(header: bytes) -> bytes:
    return hashlib.sha256(header + struct.pack("<I", len(header))).digest()
