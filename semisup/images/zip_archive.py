"""List the files (members) of a zip archive by its central directory, without reading their data."""

import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from semisup.images.tar_archive import FILE, FOLDER, OTHER, SYMLINK, DamagedArchiveError

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_ENCRYPTED, _UTF8 = 0x1, 0x800
_WINDOWS = 0
_METHODS = {zipfile.ZIP_STORED: False, zipfile.ZIP_DEFLATED: True}
_OTHER_METHODS = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 99: "AES encryption"}


class ZipEntry(NamedTuple):
    """A member of a zip archive.

    name: the bytes of the name, in UTF-8
    kind: FILE, FOLDER, SYMLINK or OTHER
    position: offset of the local header in the archive, in bytes
    size: size of the file in bytes
    packed: size of its data in the archive in bytes
    deflated: whether the data are compressed
    crc: CRC-32 of the file
    """

    name: bytes
    kind: str
    position: int
    size: int
    packed: int
    deflated: bool
    crc: int


def list_zip(file: BinaryIO) -> Iterator[ZipEntry]:
    """Yield the members of the zip archive in an open file.

    Raises:
        DamagedArchiveError: the archive is damaged, truncated, encrypted or compressed by a method that is not
            supported.
    """
    try:
        members = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, struct.error) as error:
        reason = (
            "is truncated or damaged; copy or download it again"
            if "not a zip file" in str(error)
            else f"is damaged: {error}"
        )
        raise DamagedArchiveError(reason) from None
    for info in members:
        name = _name(info)
        kind = _kind(info)
        if kind == FILE and info.flag_bits & _ENCRYPTED:
            raise DamagedArchiveError(f"is encrypted ({_shown(name)}); unpack it with its password")
        if kind == FILE and info.compress_type not in _METHODS:
            method = _OTHER_METHODS.get(info.compress_type, f"number {info.compress_type}")
            raise DamagedArchiveError(
                f"{_shown(name)} is compressed by the method {method}, which is not supported (only stored and deflate)"
                "; unpack the archive and use the folder"
            )
        deflated = _METHODS.get(info.compress_type, False)
        yield ZipEntry(name, kind, info.header_offset, info.file_size, info.compress_size, deflated, info.CRC)


def _kind(info: zipfile.ZipInfo) -> str:
    if info.is_dir():
        return FOLDER
    mode = info.external_attr >> 16  # set by archivers on Unix
    if stat.S_ISLNK(mode):
        return SYMLINK
    return FILE if stat.S_IFMT(mode) in (0, stat.S_IFREG) else OTHER


def _name(info: zipfile.ZipInfo) -> bytes:
    """Return the name of a member in UTF-8, with slashes."""
    # some archivers on Windows write backslashes; archivers on a Mac write UTF-8 without the flag
    name = info.orig_filename
    if info.create_system == _WINDOWS and "/" not in name:
        name = name.replace("\\", "/")
    if info.flag_bits & _UTF8:
        return name.encode("utf-8", "surrogateescape")
    raw = name.encode("cp437")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return name.encode("utf-8")
    return raw


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
