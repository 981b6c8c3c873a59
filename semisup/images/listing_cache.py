"""Store the listings of archives, so that an unchanged archive is not listed again.

The folder `listings` of the cache has one file for each archive, named by a digest of the archive's path, size, times
and inode. The first line of the file is a checksum of the rest, which is the listing as JSON.
"""

import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semisup.images.archive_listing import ArchiveListing
from semisup.images.archive_members import ArchivedImage, TarMember, ZipMember
from semisup.images.formats import heif_version
from semisup.runtime.atomic_files import write_atomically

VERSION = 2
"""Version of the format and of the rules by which members are ignored."""

FOLDER = "listings"
MIN_AGE_SECONDS = 2
"""Age from which an archive cannot be changed any more within the resolution of its times."""

_ZIP_FIELDS = ("packed_bytes", "deflated", "crc")


def cached_listing(path: Path, cache: Path | None, read: Callable[[Path], ArchiveListing]) -> ArchiveListing:
    """Load the listing of an archive from the cache, or call `read` and store its result.

    Args:
        path: the archive.
        cache: folder of the cache; None = no cache. If it cannot be written, nothing is stored.
        read: function that lists an archive.
    """
    if cache is None:
        return read(path)
    try:
        status = os.stat(path)
    except OSError:
        return read(path)
    identity = [os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    key = hashlib.sha256(json.dumps([VERSION, heif_version(), *identity]).encode()).hexdigest()
    file = cache / FOLDER / f"{key}.json"
    if (listing := _load(file, path, status)) is not None:
        return listing
    listing = read(path)
    newest = max(status.st_mtime_ns, status.st_ctime_ns)
    with contextlib.suppress(OSError):
        after = os.stat(path)
        unchanged = (after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino) == tuple(identity[1:])
        if unchanged and time.time_ns() - newest > MIN_AGE_SECONDS * 10**9:
            file.parent.mkdir(parents=True, exist_ok=True)
            body = _encode(listing)
            write_atomically(file, _digest(file, body), b"\n", body, durable=False)
    return listing


def _digest(file: Path, body: bytes) -> bytes:
    return hashlib.sha256(file.name.encode() + body).hexdigest().encode()


def _encode(listing: ArchiveListing) -> bytes:
    ignored = [[*key, count] for key, count in listing.ignored.items()]
    content = {"images": _columns(listing.images), "attached": _columns([*listing.attached.values()])}
    return json.dumps(content | {"folders": sorted(listing.folders), "ignored": ignored}).encode()


def _columns(members: list[ArchivedImage]) -> dict[str, list[Any]]:
    """Convert the files of an archive to columns: name of a field, such as `position` -> its value for each file."""
    names = ["name", "bytes_", "position", *(_ZIP_FIELDS if members and isinstance(members[0], ZipMember) else ())]
    return {name: [getattr(member, name) for member in members] for name in names}


def _load(file: Path, path: Path, status: os.stat_result) -> ArchiveListing | None:
    """Load a stored listing; None if there is none, or if it is damaged.

    Args:
        file: the file of the listing in the cache.
        path: the archive.
        status: result of `os.stat` for the archive.
    """
    try:
        digest, _, body = file.read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest != _digest(file, body):
        return None
    content = json.loads(body)
    attached = _members(content["attached"], path, status)
    ignored = Counter({(folder, reason): count for folder, reason, count in content["ignored"]})
    return ArchiveListing(
        _members(content["images"], path, status),
        {member.name: member for member in attached},
        set(content["folders"]),
        ignored,
    )


def _members(columns: dict[str, list[Any]], path: Path, status: os.stat_result) -> list[ArchivedImage]:
    where = os.fspath(path)
    shared = status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
    if "crc" not in columns:
        rows = zip(columns["name"], columns["bytes_"], columns["position"], strict=True)
        return [TarMember(where, name, size, *shared, position) for name, size, position in rows]
    zipped = zip(*(columns[name] for name in ("name", "bytes_", "position", *_ZIP_FIELDS)), strict=True)
    return [ZipMember(where, name, size, *shared, position, *own) for name, size, position, *own in zipped]
