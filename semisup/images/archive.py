"""List the images in tar and zip archives, without unpacking them.

Which files are images is decided as for the files in a folder (`scan.py`). An archive is rejected as a whole if it is
damaged, if the name of a file in it leads outside the archive (`/a.jpg`, `../a.jpg`), or if two files have the same
name.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from semisup.errors import DataError
from semisup.images import tar_archive
from semisup.images.archive_listing import ArchiveListing, put_below, sample_name
from semisup.images.archive_members import ArchivedImage, TarMember, ZipMember
from semisup.images.decode import BadImageError
from semisup.images.formats import SIGNATURE_BYTES, TGA_FOOTER, TGA_SUFFIX
from semisup.images.ignored_files import reason_to_ignore
from semisup.images.listing_cache import cached_listing
from semisup.images.read_file import read_file, read_head
from semisup.images.scan import is_hidden, shown
from semisup.images.tar_archive import (
    BLOCK,
    FOLDER,
    HARD_LINK,
    SYMLINK,
    DamagedArchiveError,
    TarEntry,
    is_tar,
    list_tar,
)
from semisup.images.zip_archive import SIGNATURES, ZipEntry, list_zip
from semisup.text import escape_name, shell_quote

ARCHIVE_SUFFIXES = frozenset({".tar", ".zip"})
"""Suffixes of the files that are found as archives in a folder. Any other file is one if its content says so."""

ATTACHED_SUFFIXES = frozenset({".cls", ".json", ".csv", ".tsv"})
"""Suffixes of the members that are listed beside the images: classes of single images, and tables."""

MAX_TGA_BYTES = 2**26
"""Largest size of a file named .tga whose footer is searched."""

_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"(\xb5/\xfd": "unzstd"}
"""First bytes of a compressed file -> the command that decompresses it."""

COMPRESSED_SUFFIXES = (
    *(".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"),
    *(".tgz", ".tbz", ".tbz2", ".txz", ".tzst"),
)
"""Suffixes of compressed tar archives, which are refused with the command to type."""
_MAC_FOLDER = "__MACOSX"

NO_TARGET = "hard link to a missing member"
"""Reason for ignoring a hard link of a tar archive that has no member with the name of the target."""


class _HardLink(NamedTuple):
    """A hard link in a tar archive: its name, and the name of the member to which it leads."""

    name: str
    target: str


def is_archive(path: Path) -> bool:
    """Whether the first bytes or the name of a file are those of a tar or zip archive.

    Compressed tar archives and damaged archives count too.
    """
    head = _head(path)
    if path.name.lower().endswith(COMPRESSED_SUFFIXES):
        return True
    return path.suffix.lower() in ARCHIVE_SUFFIXES or head.startswith(SIGNATURES) or is_tar(head)


def list_archives(paths: Sequence[Path], *, keep_names: bool = False, cache: Path | None = None) -> ArchiveListing:
    """List the images of archives as if all were unpacked in one folder.

    If two archives contain a file of the same name, every name in the listing begins with the file name of its archive,
    and `collision` of the listing names two such archives.

    Args:
        keep_names: also list the names of the files that are not read; only for a single archive.
        cache: folder in which listings are stored; None = no cache. Not used with `keep_names`.

    Raises:
        DataError: an archive cannot be read or is rejected; or two archives contain a file of the same name, and the
            archives have the same file name too.
    """
    if keep_names and len(paths) == 1:
        return _list_archive(paths[0], keep_names=True)
    listings = [cached_listing(path, cache, _list_archive) for path in paths]
    merged = ArchiveListing(collision=_collision(paths, listings))
    if merged.collision:
        _check_archive_names(paths, merged.collision)
        listings = [put_below(listing, escape_name(path.name)) for path, listing in zip(paths, listings, strict=True)]
    for listing in listings:
        merged.images += listing.images
        merged.attached |= listing.attached
        merged.folders |= listing.folders
        merged.ignored += listing.ignored
    if len(listings) > 1:
        merged.images.sort(key=lambda image: image.name)
    return merged


def _list_archive(path: Path, *, keep_names: bool = False) -> ArchiveListing:
    listing, links, ignored = ArchiveListing(), list[_HardLink](), dict[str, tuple[ArchivedImage, str]]()
    try:
        with open(path, "rb") as file:
            status, head = os.fstat(file.fileno()), file.read(BLOCK)
            for start, command in _COMPRESSED.items():
                if head.startswith(start):
                    raise DataError(f"{shown(path)}: {_unpacking(path, command)}")
            is_zip = not is_tar(head) and (head.startswith(SIGNATURES) or path.suffix.lower() != ".tar")
            entries: Iterable[TarEntry | ZipEntry] = list_zip(file) if is_zip else list_tar(file.fileno())
            shared = status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
            where = os.fspath(path)
            for entry in entries:
                name = _clean_name(entry.name, path)
                if isinstance(entry, ZipEntry):
                    zipped = entry.packed, entry.deflated, entry.crc
                    member: ArchivedImage = ZipMember(where, name, entry.size, *shared, entry.position, *zipped)
                else:
                    member = TarMember(where, name, entry.size, *shared, entry.position)
                    if entry.kind == HARD_LINK:
                        links.append(_HardLink(name, _clean_name(entry.target, path)))
                        continue
                if (reason := _add(listing, member, entry.kind)) and entry.kind != FOLDER:
                    ignored[name] = member, entry.kind
                    if keep_names:
                        listing.ignored_names[name] = reason
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    except DamagedArchiveError as error:
        raise DataError(f"{shown(path)}: {error}") from None
    listing.images.sort(key=lambda image: image.name)
    unread = _follow_hard_links(listing, links, ignored)
    listing.ignored_names |= unread if keep_names else {}
    _check_names(listing)
    return listing


def _unpacking(path: Path, command: str) -> str:
    """Describe how to decompress a tar archive: the command to type and the file that it writes."""
    has_suffix = path.name.lower().endswith(COMPRESSED_SUFFIXES)
    stem = path.name.removesuffix(path.suffix) if has_suffix else path.name
    unpacked = path.with_name(stem if stem.lower().endswith(".tar") else f"{stem}.tar")
    unpacked = path.with_name(f"{path.stem}-unpacked.tar") if unpacked == path else unpacked
    typed = f"{command} -k {shell_quote(path)}"
    if not has_suffix:  # the program would refuse the name
        typed = f"{command} -c < {shell_quote(path)} > {shell_quote(unpacked)}"
    return f"a compressed archive is not read in place; type {typed} and then use {shell_quote(unpacked)}"


def _add(listing: ArchiveListing, member: ArchivedImage, kind: str) -> str:
    """Add a file or folder of an archive to the listing; a file is added as an image or as an ignored file.

    Args:
        kind: type of the member, such as FILE, FOLDER or SYMLINK.

    Returns:
        the reason why the file is ignored; "" if it is not ignored.
    """
    parts = member.name.split("/")
    if any(map(_is_hidden_part, parts)):
        listing.ignored["", "hidden"] += 1
        return "hidden"
    folder = member.name if kind == FOLDER else "/".join(parts[:-1])
    while folder and folder not in listing.folders:
        listing.folders.add(folder)
        folder = folder.rpartition("/")[0]
    if kind == FOLDER:
        return ""
    reason = "symlink" if kind == SYMLINK else "not a regular file"
    if kind == tar_archive.FILE:
        suffix = os.path.splitext(parts[-1])[1].lower()
        if suffix in ATTACHED_SUFFIXES:
            if member.name in listing.attached:
                raise _repeated(member.path, member.name)
            listing.attached[member.name] = member
        ignored = reason_to_ignore(suffix, lambda: _ends(member, suffix))
        if ignored is None:
            listing.images.append(member)
            return ""
        reason = ignored
    listing.ignored["/".join(parts[:-1]), reason] += 1
    return reason


def _is_hidden_part(name: str) -> bool:
    return is_hidden(name) or name == _MAC_FOLDER


def _ends(member: ArchivedImage, suffix: str) -> tuple[bytes, bytes]:
    """Read the first bytes of a file in an archive and, of a TGA file, also the last bytes.

    Returns:
        (first bytes, last bytes); b"" = not read.
    """
    try:
        if suffix == TGA_SUFFIX:
            data = read_file(member, MAX_TGA_BYTES)
            return data[:SIGNATURE_BYTES], data[-len(TGA_FOOTER) :]
        return read_head(member, SIGNATURE_BYTES), b""
    except BadImageError:
        return b"", b""


def _clean_name(raw: bytes, archive: Path) -> str:
    """Normalize the path of a file in an archive: printable, with slashes, without components that are empty or `.`.

    Raises:
        DataError: the name leads outside the archive.
    """
    name = raw.decode("utf-8", "surrogateescape")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or not (parts or name):
        allowed = "names must be relative and without `..`; pack the images again"
        raise DataError(
            f"{shown(archive)}: the name {escape_name(name) or '(empty)'} leads outside the archive: {allowed}"
        )
    return escape_name("/".join(parts))


def _follow_hard_links(
    listing: ArchiveListing, links: Sequence[_HardLink], ignored: Mapping[str, tuple[ArchivedImage, str]]
) -> dict[str, str]:
    """Add the hard links of a tar archive to the listing, each like the member to which it leads.

    Args:
        ignored: name of each member that is not an image -> the member, and its type, such as SYMLINK.

    Returns:
        name of each link that is ignored -> reason.
    """
    unread: dict[str, str] = {}
    if not links:
        return unread
    members = {**ignored, **{image.name: (image, tar_archive.FILE) for image in listing.images}}
    for link in links:
        member, kind = members.get(link.target, (None, ""))
        if member is None:
            unread[link.name] = NO_TARGET
            listing.ignored[link.name.rpartition("/")[0], NO_TARGET] += 1
        elif reason := _add(listing, dataclasses.replace(member, name=link.name), kind):
            unread[link.name] = reason
    listing.images.sort(key=lambda each: each.name)
    return unread


def _check_names(listing: ArchiveListing) -> None:
    before = None
    for image in listing.images:
        if image.name == before:
            raise _repeated(image.path, image.name)
        before = image.name


def _repeated(archive: str, name: str) -> DataError:
    return DataError(
        f"{shown(archive)}: contains two files with the name {name}; pack the files again, with each name only once"
    )


def _check_archive_names(paths: Iterable[Path], collision: str) -> None:
    """Raise DataError if two archives have the same file name, so that this name cannot distinguish their files.

    Args:
        collision: beginning of the error message: result of `_collision`.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(escape_name(path.name), path)
        if other is not path:
            fix = f"and the archives {shown(other)} and {shown(path)} have the same file name; rename one of them"
            raise DataError(f"{collision}, {fix}")


def _collision(paths: Sequence[Path], listings: Sequence[ArchiveListing]) -> str:
    """Describe the first file name that occurs in two archives; "" if there is none.

    Only images, tables and files with the class of an image are compared. A JSON file is compared only if an image has
    the same name with another suffix.
    """
    seen: dict[str, Path] = {}
    if len(listings) < 2:
        return ""
    stems: set[str] | None = None
    for path, listing in zip(paths, listings, strict=True):
        for name in (*(image.name for image in listing.images), *listing.attached):
            other = seen.setdefault(name, path)
            if other is path:
                continue
            if name.lower().endswith(".json"):
                stems = stems or {sample_name(image.name) for each in listings for image in each.images}
                if sample_name(name) not in stems:
                    continue
            return f"{shown(other)} and {shown(path)} both contain a file {name}"
    return ""


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(BLOCK)
    except OSError:
        return b""
