"""Find image files: the result depends only on names, not on the disk's order, the locale or links.

decode.py decides by content what a file is. Of files with another suffix only the first and last bytes are read here.
"""

import errno
import os
import stat
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from semisup.errors import DataError
from semisup.images.formats import (
    HEIC_HINT,
    HEIC_SUFFIXES,
    SIGNATURE_BYTES,
    SUFFIXES,
    TGA_FOOTER,
    TGA_SUFFIX,
    heif_version,
    is_heif,
    is_image_content,
)
from semisup.text import escape_name

OTHER_SUFFIX = "other suffix"
"""Reason for ignoring a file that is not an image by its suffix and its content."""

OUTPUT_FOLDER = "output of semisup"
"""Reason for ignoring a folder that this program or W&B wrote."""

RUN_FILES = frozenset({"config.yaml", "run.json"})
"""Files that together mark the folder of a run; its plots are images, but not data."""

COMPARISON_PLOT, COMPARISON = "comparison.png", "comparison.json"
"""A plot of `semisup compare`, and the file that is always written beside it."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file with an image suffix, as of the scan. There may be millions: text, not Path objects.

    path: where it is
    name: posix path relative to the data set's root, printable (see `text.escape_name`); the image's name in a record
    bytes_: its size
    mtime_ns, ctime_ns, inode: with the size, these change when the content does
    """

    path: str
    name: str
    bytes_: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True)
class Scan:
    """Content of a folder.

    files: image files, sorted by the bytes of their path
    ignored: reason -> number of ignored entries: "hidden" (with everything below), "other suffix", "symlink" (links
        are not followed), "broken symlink", "seen already" (a link to a file or folder found before, such as a loop),
        "not a regular file" (FIFO, socket, device), "vanished" (removed during the scan), OUTPUT_FOLDER, HEIC_HINT
    suffixes: suffix, with its dot -> number of files among "other suffix"; "." = none
    """

    files: tuple[ImageFile, ...]
    ignored: dict[str, int]
    suffixes: dict[str, int]


def scan(root: Path, folder: Path, *, follow_symlinks: bool) -> Scan:
    """Find the image files in `folder` and below it.

    Args:
        root: names are relative to this; `folder` is `root` or below it.
        folder: where to search.
        follow_symlinks: include link targets, each file and folder once, and under its own name if it has one.

    Raises:
        DataError: a folder is missing or unreadable.
    """
    _entries(folder)  # raises where `folder` is missing, a file, or unreadable
    ignored: Counter[str] = Counter()
    start, inside = os.path.join(folder, ""), os.path.join(folder.relative_to(root), "")
    inside = "" if inside == "./" else inside
    files = [
        ImageFile(
            path,
            escape_name(_decode_path(inside + path.removeprefix(start))),
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
        )
        for path, status in _walk(os.fspath(folder), follow_symlinks, ignored)
    ]
    files.sort(key=lambda file: os.fsencode(file.path))
    suffixes = {reason: ignored.pop(reason) for reason in sorted(ignored) if reason.startswith(".")}
    if suffixes:
        ignored[OTHER_SUFFIX] = sum(suffixes.values())
    return Scan(tuple(files), dict(sorted(ignored.items())), suffixes)


def class_folders(folder: Path, *, follow_symlinks: bool) -> dict[str, Path]:
    """List the visible subfolders: class name -> folder, sorted by the bytes of the names.

    Names are in Unicode's form NFC and printable, so that a data set copied by way of a Mac keeps its classes.

    Raises:
        DataError: two folders have the same name in NFC, or `folder` is missing or unreadable.
    """
    folders: dict[str, Path] = {}
    for entry in _entries(folder):
        if _is_hidden(entry.name) or not entry.is_dir(follow_symlinks=follow_symlinks):
            continue
        name = escape_name(unicodedata.normalize("NFC", _decode_path(entry.name)))
        if name in folders:
            raise DataError(
                f"{shown(folder)}: two folders have the class name {name} after Unicode normalization (NFC);"
                " rename one of them"
            )
        folders[name] = Path(entry.path)
    return dict(sorted(folders.items(), key=lambda item: item[0].encode()))


def image_name(root: Path, path: Path) -> str:
    """Name of the image at `path` in a record: relative to `root`, printable."""
    return escape_name(_decode_path(path.relative_to(root)))


def shown(path: Path | str) -> str:
    """`path` as printable text for messages."""
    return escape_name(_decode_path(path))


def _decode_path(path: Path | str) -> str:
    """Decode a path as UTF-8 whatever the locale; other bytes become surrogates."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _walk(folder: str, follow_symlinks: bool, ignored: Counter[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield image files in any order. Links come last, so that a file is found under its own name first."""
    pending, links, seen = [folder], deque[str](), set[tuple[int, int]]()
    while pending or links:
        path = pending.pop() if pending else links.popleft()
        status = _status(path)
        if status is None:
            ignored["broken symlink" if os.path.islink(path) else "vanished"] += 1
        elif not stat.S_ISDIR(status.st_mode):
            if _is_image(path, status, seen if follow_symlinks else None, ignored):
                yield path, status
        elif not follow_symlinks or _is_new(status, seen, ignored):
            entries = _entries(path)
            names = {entry.name for entry in entries}
            if path != folder and _is_output_folder(os.path.basename(path), names):
                ignored[OUTPUT_FOLDER] += 1
                continue
            for entry in entries:
                if _is_hidden(entry.name):
                    ignored["hidden"] += 1
                elif entry.is_symlink():
                    if follow_symlinks:
                        links.append(entry.path)
                    else:
                        ignored["symlink"] += 1
                elif follow_symlinks or entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.name == COMPARISON_PLOT and COMPARISON in names:
                    ignored[OUTPUT_FOLDER] += 1
                elif (entry_status := _status(entry.path)) is None:
                    ignored["vanished"] += 1
                elif _is_image(entry.path, entry_status, None, ignored):
                    yield entry.path, entry_status


def _is_output_folder(name: str, names: Iterable[str]) -> bool:
    """Whether a folder with these entries was written by this program or by W&B, judged by what it contains."""
    if name == "wandb":
        return any(each.startswith(("run-", "offline-run-")) for each in names)
    return set(names) >= RUN_FILES


def _is_image(path: str, status: os.stat_result, seen: set[tuple[int, int]] | None, ignored: Counter[str]) -> bool:
    """Whether a non-folder is an image file; with `seen`, files found before do not count again."""
    if seen is not None and (status.st_dev, status.st_ino) in seen:
        ignored["seen already"] += 1
        return False
    if not stat.S_ISREG(status.st_mode):
        ignored["not a regular file"] += 1
        return False
    if (reason := _reason_to_ignore(path)) is not None:
        ignored[reason] += 1
        return False
    if seen is not None:
        seen.add((status.st_dev, status.st_ino))
    return True


def _reason_to_ignore(path: str) -> str | None:
    """The reason why a regular file is not read, or its suffix where that is of another kind; None if it is read."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in SUFFIXES:
        return HEIC_HINT if suffix in HEIC_SUFFIXES and heif_version() is None and is_heif(_ends(path)[0]) else None
    head, tail = _ends(path)
    if is_heif(head) and heif_version() is None:
        return HEIC_HINT
    if suffix == TGA_SUFFIX and tail == TGA_FOOTER:
        return None
    return None if is_image_content(head) else suffix or "."


def describe_ignored(counts: Mapping[str, int]) -> str:
    """Describe the files that are not read: "ignored 150 files: 120 .heic (...), 30 .txt"; "" if there are none.

    Args:
        counts: suffixes and reasons -> number of files; reasons that hide no image are left out.
    """
    listed = {key: count for key, count in counts.items() if key.startswith(".") or key == HEIC_HINT}
    parts = sorted(listed.items(), key=lambda item: (-item[1], item[0]))
    names = [f"{count} {'without a suffix' if key == '.' else escape_name(key)}" for key, count in parts[:5]]
    more = [f"{sum(count for _, count in parts[5:])} others"] if len(parts) > 5 else []
    total = sum(listed.values())
    return f"ignored {total} {'file' if total == 1 else 'files'}: {', '.join(names + more)}" if listed else ""


def with_ignored(message: str, counts: Mapping[str, int]) -> str:
    """The message, with the description of the ignored files after it if there are any."""
    return "; ".join(filter(None, (message, describe_ignored(counts))))


def _ends(path: str) -> tuple[bytes, bytes]:
    """Read the first and the last bytes of a regular file; b"" if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b"", b""
    try:
        length, size = len(TGA_FOOTER), os.fstat(descriptor).st_size
        return os.read(descriptor, SIGNATURE_BYTES), os.pread(descriptor, length, max(0, size - length))
    except OSError:
        return b"", b""
    finally:
        os.close(descriptor)


def _is_new(status: os.stat_result, seen: set[tuple[int, int]], ignored: Counter[str]) -> bool:
    """Whether a folder was not seen before; adds it to `seen`."""
    if (status.st_dev, status.st_ino) in seen:
        ignored["seen already"] += 1
        return False
    seen.add((status.st_dev, status.st_ino))
    return True


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """Entries of `folder`, sorted by the bytes of their names."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise _unreadable(folder, error) from error


def _status(path: str) -> os.stat_result | None:
    """Status of the target of `path`; None if there is none, or if it is a link to itself."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: OSError) -> DataError:
    return DataError(f"{shown(path)}: cannot be read ({error.strerror})")


def _is_hidden(name: str) -> bool:
    """Whether systems leave such files beside images: .DS_Store, ._a.jpg, .ipynb_checkpoints, .nfs0001, Thumbs.db."""
    return name.startswith(".") or name.lower() == "thumbs.db"
