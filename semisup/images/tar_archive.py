"""List the files (members) of a tar archive in the formats ustar, GNU and pax, without reading their data."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from semisup.runtime.descriptors import read_at

BLOCK = 512
MAX_METADATA = 2**20
"""Largest size in bytes of a long name or of a pax header."""

FILE, FOLDER, HARD_LINK, SYMLINK, OTHER = "file", "folder", "hard link", "symlink", "other"

_KINDS = {b"0": FILE, b"\0": FILE, b"7": FILE, b"1": HARD_LINK, b"2": SYMLINK, b"5": FOLDER}
_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_CHECKSUM, _ZEROS = slice(148, 156), bytes(BLOCK)


class DamagedArchiveError(ValueError):
    """Error for an archive that cannot be listed completely; the message is the reason."""


class TarEntry(NamedTuple):
    """A member of a tar archive.

    name: the bytes of the name, as in the archive
    kind: FILE, FOLDER, HARD_LINK, SYMLINK or OTHER (devices, sparse files)
    position, size: offset and size of the data in the archive, in bytes
    target: name of the member to which a link leads
    """

    name: bytes
    kind: str
    position: int
    size: int
    target: bytes


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with these 512 bytes is a tar archive."""
    return len(head) == BLOCK and head != _ZEROS and _has_checksum(head)


def list_tar(descriptor: int) -> Iterator[TarEntry]:
    """Yield the members of the tar archive in an open file.

    The file can also consist of several tar archives, one after another.

    Raises:
        DamagedArchiveError: a header is damaged, or the archive is truncated.
    """
    # not `tarfile`: it takes a damaged header for the end of the archive, so that members would be missing without an
    # error, and keeps 1 kB per member
    end = os.fstat(descriptor).st_size
    position, ended = 0, False
    common: dict[bytes, bytes] = {}
    own: dict[bytes, bytes] = {}
    while position < end:
        header = read_at(descriptor, BLOCK, position)
        if header == _ZEROS:
            position, ended = position + BLOCK, True
            continue
        if len(header) < BLOCK:
            if ended and not header.strip(b"\0"):
                break
            raise DamagedArchiveError("is truncated; copy or download it again")
        if not _has_checksum(header):
            raise DamagedArchiveError(
                f"is damaged: the header at byte {position} has a wrong checksum; copy or download it again"
            )
        ended = False
        fields = common | own
        flag, start = header[156:157], position + BLOCK
        size = _number(fields[b"size"], 10) if b"size" in fields else _number(header[124:136], 8)
        if _KINDS.get(flag, FILE) != FILE:
            size = 0  # links and folders have no data, whatever the field says
        position = start + -(-size // BLOCK) * BLOCK
        if start + size > end:
            raise DamagedArchiveError("is truncated; copy or download it again")
        if flag in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_GLOBAL):
            data = _metadata(descriptor, start, size)
            if flag == _PAX_GLOBAL:
                common |= _pax_fields(data)
            elif flag == _PAX:
                own |= _pax_fields(data)
            else:
                own[b"path" if flag == _GNU_NAME else b"linkpath"] = data.split(b"\0")[0]
            continue
        name = fields.get(b"path") or _name(header)
        kind = FOLDER if flag == b"\0" and name.endswith(b"/") else _KINDS.get(flag, OTHER)
        if any(key.startswith(b"GNU.sparse") for key in own):
            kind = OTHER
        yield TarEntry(name, kind, start, size, fields.get(b"linkpath") or header[157:257].split(b"\0")[0])
        own = {}
    if not ended:
        raise DamagedArchiveError("is truncated: it has no end mark; copy or download it again")


def _has_checksum(header: bytes) -> bool:
    try:
        expected = _number(header[_CHECKSUM], 8)
    except DamagedArchiveError:
        return False
    return sum(header) - sum(header[_CHECKSUM]) + 8 * ord(" ") == expected


def _number(field: bytes, base: int) -> int:
    """Read a number from a tar header: digits in the given base, or the binary form of GNU tar for large numbers.

    Raises:
        DamagedArchiveError: the field has no number.
    """
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:])
    digits = field.split(b"\0")[0].strip()
    if not digits:
        return 0
    if not digits.isdigit():
        raise DamagedArchiveError(f"is damaged: a header has {digits[:20]!r} in place of a number")
    try:
        return int(digits, base)
    except ValueError:
        raise DamagedArchiveError(f"is damaged: a header has {digits[:20]!r} in place of a number") from None


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    is_posix = header[257:263] == b"ustar\0"
    return prefix + b"/" + name if is_posix and prefix else name


def _metadata(descriptor: int, start: int, size: int) -> bytes:
    if size > MAX_METADATA:
        raise DamagedArchiveError(f"is damaged: a name at byte {start} has {size} bytes, more than {MAX_METADATA}")
    return read_at(descriptor, size, start)


def _pax_fields(data: bytes) -> dict[bytes, bytes]:
    """Read the records of a pax header.

    A record is `LENGTH KEY=VALUE` and a newline, where LENGTH is the length of the whole record.

    Raises:
        DamagedArchiveError: a record does not have this form.
    """
    fields, position = {}, 0
    while position < len(data) and data[position : position + 1] != b"\0":
        digits, space, _ = data[position : position + 20].partition(b" ")
        if not space or not digits.isdigit():
            raise DamagedArchiveError("is damaged: a record of a pax header does not begin with its length")
        end = position + int(digits)
        key, equals, value = data[position + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or data[end - 1 : end] != b"\n":
            raise DamagedArchiveError("is damaged: a record of a pax header does not have the length that it states")
        fields[key], position = value, end
    return fields
