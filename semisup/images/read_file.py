"""Read the bytes of one image: a file, or an image inside an archive."""

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from semisup.images.archive_members import ArchivedImage, ParquetCell, ZipMember
from semisup.images.decode import BadImageError
from semisup.images.scan import ImageFile
from semisup.runtime.descriptors import NO_WAIT, READ, read_at

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_RAW_DEFLATE = -15
_HEAD_PACKED = 4096  # bytes of compressed data that give the first bytes of a file


def read_file(file: ImageFile, limit: int) -> bytes:
    """Read the bytes of one image.

    Args:
        limit: largest allowed size in bytes.

    Raises:
        BadImageError: the image cannot be read or the archive was replaced since the scan ("unreadable"), has more than
            `limit` bytes ("too large"), or its compressed data are damaged ("truncated", "corrupt").
    """
    if isinstance(file, ParquetCell):
        from semisup.images.parquet_cells import read_cell

        return read_cell(file, limit)
    try:
        with _open_regular(file.path) as (descriptor, status):
            if not isinstance(file, ArchivedImage):
                return _read_whole(descriptor, status.st_size, limit)
            if (status.st_size, status.st_mtime_ns, status.st_ino) != (file.archive_bytes, file.mtime_ns, file.inode):
                raise BadImageError("unreadable")
            if isinstance(file, ZipMember):
                return _read_zip_member(descriptor, file, limit)
            return _read_range(descriptor, file.position, file.bytes_, limit)
    except OSError as error:
        raise BadImageError("unreadable") from error


def read_head(file: ArchivedImage, count: int) -> bytes:
    """Read the first `count` bytes of an image inside an archive; fewer if the image is shorter.

    Raises:
        BadImageError: the image cannot be read ("unreadable"), or its data are damaged ("truncated", "corrupt").
    """
    try:
        with _open_regular(file.path) as (descriptor, _):
            if not isinstance(file, ZipMember):
                return read_at(descriptor, min(count, file.bytes_), file.position)
            packed = min(file.packed_bytes, _HEAD_PACKED if file.deflated else count)
            data = _read_range(descriptor, _data_start(descriptor, file), packed, packed)
            return _inflate(data, count)[:count] if file.deflated else data
    except OSError as error:
        raise BadImageError("unreadable") from error


@contextmanager
def _open_regular(path: str) -> Iterator[tuple[int, os.stat_result]]:
    descriptor = os.open(path, READ | NO_WAIT)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadImageError("unreadable")
        yield descriptor, status
    finally:
        os.close(descriptor)


def _read_whole(descriptor: int, size: int, limit: int) -> bytes:
    if size > limit:
        raise BadImageError("too large")
    with open(descriptor, "rb", closefd=False) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BadImageError("too large")
    return data


def _read_range(descriptor: int, position: int, length: int, limit: int) -> bytes:
    if length > limit:
        raise BadImageError("too large")
    data = read_at(descriptor, length, position)
    while 0 < len(data) < length and (more := read_at(descriptor, length - len(data), position + len(data))):
        data += more
    if len(data) < length:
        raise BadImageError("truncated")
    return data


def _read_zip_member(descriptor: int, file: ZipMember, limit: int) -> bytes:
    if file.bytes_ > limit:
        raise BadImageError("too large")
    data = _read_range(descriptor, _data_start(descriptor, file), file.packed_bytes, limit)
    if file.deflated:
        data = _inflate(data, file.bytes_)
    if len(data) != file.bytes_ or zlib.crc32(data) != file.crc:
        raise BadImageError("corrupt")
    return data


def _data_start(descriptor: int, file: ZipMember) -> int:
    """Find the offset of the first data byte of an image in a zip archive, after its local header."""
    header = read_at(descriptor, _LOCAL_HEADER.size, file.position)
    if len(header) < _LOCAL_HEADER.size:
        raise BadImageError("truncated")
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if signature != _LOCAL_SIGNATURE:
        raise BadImageError("corrupt")
    return int(file.position + _LOCAL_HEADER.size + name_length + extra_length)


def _inflate(data: bytes, length: int) -> bytes:
    """Decompress at most `length` + 1 bytes of data, so that damaged data cannot fill the memory."""
    try:
        return zlib.decompressobj(_RAW_DEFLATE).decompress(data, length + 1)
    except zlib.error as error:
        raise BadImageError("corrupt") from error
