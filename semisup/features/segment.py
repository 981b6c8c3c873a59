"""Read and write a segment: one file of a pack (a folder of stored features), never changed after it is written.

A segment has one row for each of n images: D features in each of K views. It contains, in this order:

    prefix: magic bytes, version of the format, n, K, D, and a sha256 of the pack's KEY, n, K, D and the header together
    header: (n, 32) uint8, the digest of each image; (n, 16) uint8, the checksum (BLAKE2b) of each row
    rows: (n, K, D) float16
"""

import hashlib
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from semisup.runtime.atomic_files import write_atomically

MAGIC, FORMAT = b"semisupF", 2
PREFIX = struct.Struct("<8sIQII32s")
DIGEST, CHECKSUM = 32, 16  # bytes
SUFFIX = ".rows"


class Segment(NamedTuple):
    """The verified header of one segment (feature file).

    digests: digest of the image of each row
    checksums: (n, 16) uint8, checksum of each row
    offset: position in the file, in bytes, at which the rows begin
    """

    path: Path
    digests: list[bytes]
    checksums: Any
    offset: int


def checksum(row: Any) -> bytes:
    """Compute the checksum of the features of one image, (K, D) float16."""
    return hashlib.blake2b(memoryview(row).cast("B"), digest_size=CHECKSUM).digest()


def write_segment(folder: Path, digests: list[bytes], rows: Any) -> Path:
    """Write the features of n images to a new file in `folder`, and return its path.

    Args:
        digests: digest of the image of each row.
        rows: (n, K, D) float16, features.

    Raises:
        OSError: the file cannot be written; for example, the disk is full or read-only.
    """
    count, views, features = rows.shape
    sums = b"".join(checksum(row) for row in rows)
    header = b"".join(digests) + sums
    signature = _signature(folder, count, views, features, header)
    path = folder / f"{signature.hex()[:32]}{SUFFIX}"
    prefix = PREFIX.pack(MAGIC, FORMAT, count, views, features, signature)
    write_atomically(path, prefix, header, memoryview(rows).cast("B"), durable=False)
    return path


def read_segment(path: Path, views: int, features: int) -> Segment | None:
    """Read and verify the header and the rows of a feature file.

    The result is None if the file is damaged, belongs to another pack, or has another format or shape.

    Args:
        views, features: the expected K and D.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        prefix = file.read(PREFIX.size)
        if len(prefix) < PREFIX.size:
            return None
        magic, version, count, *shape, signature = PREFIX.unpack(prefix)
        bytes_ = 2 * views * features
        size = PREFIX.size + count * (DIGEST + CHECKSUM + bytes_)
        if magic != MAGIC or version != FORMAT or shape != [views, features]:
            return None
        if os.fstat(file.fileno()).st_size != size:
            return None
        header = file.read(count * (DIGEST + CHECKSUM))
        if _signature(path.parent, count, views, features, header) != signature:
            return None
        sums = numpy.frombuffer(header, numpy.uint8, offset=count * DIGEST).reshape(count, CHECKSUM)
        for row in range(count):
            if hashlib.blake2b(file.read(bytes_), digest_size=CHECKSUM).digest() != sums[row].tobytes():
                return None
        digests = [header[row * DIGEST : (row + 1) * DIGEST] for row in range(count)]
        return Segment(path, digests, sums, PREFIX.size + len(header))


def _signature(folder: Path, count: int, views: int, features: int, header: bytes) -> bytes:
    """Compute the sha256 of the pack's KEY (the name of its folder), n, K, D and the header.

    With KEY, a file that was copied from the pack of another encoder is not accepted.
    """
    numbers = struct.pack("<QII", count, views, features)
    return hashlib.sha256(folder.name.encode() + numbers + header).digest()
