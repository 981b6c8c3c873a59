"""Which files are pictures: an answer that depends on names alone, not on the disk's order, the locale or links.

No file is opened here; what a file holds is decided by its content later (decode.py).
"""

import errno
import os
import stat
import unicodedata
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from semisup.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that calls itself a picture, as it was when scanned. There may be millions: text, and not a Path.

    path: where it is
    name: posix path relative to the data set's root, printable (see `printable`); what a record calls the image
    bytes_: its size
    mtime_ns, ctime_ns, inode: with the size, what changes when the content does
    """

    path: str
    name: str
    bytes_: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True)
class Scan:
    """What a folder holds.

    files: the pictures, sorted by the bytes of their path
    ignored: reason -> count of the entries left out: "hidden" (with all that is beneath), "other suffix",
        "symlink" (links are not followed), "broken symlink", "seen already" (a link to what was found before: loops end
        here), "not a regular file" (FIFO, socket, device), "vanished" (removed while we looked)
    """

    files: tuple[ImageFile, ...]
    ignored: dict[str, int]


def scan(root: Path, folder: Path, *, follow_symlinks: bool) -> Scan:
    """Find the pictures in `folder` and all folders beneath it.

    Args:
        root: what names are relative to; `folder` is this or lies beneath it.
        folder: where to look.
        follow_symlinks: take what links lead to as well, each file and folder once, those without a link first.

    Raises:
        DataError: a folder that is missing or cannot be read, by name.
    """
    _entries(folder)  # so that a folder that is missing, a file or not ours to read is said to be so
    ignored: Counter[str] = Counter()
    start, inside = os.path.join(folder, ""), os.path.join(folder.relative_to(root), "")
    inside = "" if inside == "./" else inside
    files = [
        ImageFile(
            path,
            printable(_text(inside + path.removeprefix(start))),
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
        )
        for path, status in _walk(os.fspath(folder), follow_symlinks, ignored)
    ]
    files.sort(key=lambda file: os.fsencode(file.path))
    return Scan(tuple(files), dict(sorted(ignored.items())))


def class_folders(folder: Path, *, follow_symlinks: bool) -> dict[str, Path]:
    """The sub-directories that are not hidden: class name -> where it is.

    A name is in Unicode's form NFC and printable, so that a data set means the same when it was copied by way of a
    Mac. The order is that of the names' bytes.

    Raises:
        DataError: two folders with one name after NFC, or a folder that is missing or cannot be read.
    """
    found: dict[str, Path] = {}
    for entry in _entries(folder):
        if _hidden(entry.name) or not entry.is_dir(follow_symlinks=follow_symlinks):
            continue
        name = printable(unicodedata.normalize("NFC", _text(entry.name)))
        if name in found:
            raise DataError(f"{shown(folder)}: two folders have the class name {name} in Unicode's form NFC")
        found[name] = Path(entry.path)
    return dict(sorted(found.items(), key=lambda item: item[0].encode()))


def image_name(root: Path, path: Path) -> str:
    """What a record calls the image at `path`: relative to `root`, printable."""
    return printable(_text(path.relative_to(root)))


def shown(path: Path | str) -> str:
    """`path` as a message may say it: printable."""
    return printable(_text(path))


def printable(text: str) -> str:
    r"""`text` with all that a terminal or a JSON file could stumble over escaped: a newline becomes \n.

    Controls, direction marks and bytes that are not UTF-8 are escaped, and the backslash itself, so that two different
    names stay different.
    """
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        letter if letter.isprintable() and letter != "\\" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _text(path: Path | str) -> str:
    """The path as UTF-8, whatever the locale; other bytes as surrogates."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _walk(folder: str, follow_symlinks: bool, ignored: Counter[str]) -> Iterator[tuple[str, os.stat_result]]:
    """The pictures in any order. Links wait until all else is found, so that a file's own name is preferred."""
    pending, links, seen = [folder], deque[str](), set[tuple[int, int]]()
    while pending or links:
        path = pending.pop() if pending else links.popleft()
        status = _status(path)
        if status is None:
            ignored["broken symlink" if os.path.islink(path) else "vanished"] += 1
        elif not stat.S_ISDIR(status.st_mode):
            if _is_picture(path, status, seen if follow_symlinks else None, ignored):
                yield path, status
        elif not follow_symlinks or _is_new(status, seen, ignored):
            for entry in _entries(path):
                if _hidden(entry.name):
                    ignored["hidden"] += 1
                elif entry.is_symlink():
                    if follow_symlinks:
                        links.append(entry.path)
                    else:
                        ignored["symlink"] += 1
                elif follow_symlinks or entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif (found := _status(entry.path)) is None:
                    ignored["vanished"] += 1
                elif _is_picture(entry.path, found, None, ignored):
                    yield entry.path, found


def _is_picture(path: str, status: os.stat_result, seen: set[tuple[int, int]] | None, ignored: Counter[str]) -> bool:
    """Whether that which is no folder calls itself a picture; `seen`: what was found before does not count again."""
    if seen is not None and (status.st_dev, status.st_ino) in seen:
        ignored["seen already"] += 1
        return False
    if not stat.S_ISREG(status.st_mode):
        ignored["not a regular file"] += 1
        return False
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        ignored["other suffix"] += 1
        return False
    if seen is not None:
        seen.add((status.st_dev, status.st_ino))
    return True


def _is_new(status: os.stat_result, seen: set[tuple[int, int]], ignored: Counter[str]) -> bool:
    """Whether this folder was not found before; it is now."""
    if (status.st_dev, status.st_ino) in seen:
        ignored["seen already"] += 1
        return False
    seen.add((status.st_dev, status.st_ino))
    return True


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in `folder`, sorted by the bytes of the names."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise _unreadable(folder, error) from error


def _status(path: str) -> os.stat_result | None:
    """What `path` leads to; None where that is nothing, or a link to itself."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: OSError) -> DataError:
    return DataError(f"{shown(path)}: cannot be read ({error.strerror})")


def _hidden(name: str) -> bool:
    """What systems leave beside pictures: .DS_Store, ._a.jpg, .ipynb_checkpoints, .nfs0001, Thumbs.db."""
    return name.startswith(".") or name.lower() == "thumbs.db"
