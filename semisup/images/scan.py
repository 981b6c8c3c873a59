"""Find the image files in a folder, in an order that is the same on every machine.

A file with the suffix of an image format counts as an image. Of all other files, the first and last bytes are read to
find out whether they are images.
"""

import errno
import json
import os
import stat
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from semisup.errors import DataError
from semisup.images.formats import SIGNATURE_BYTES, TGA_FOOTER
from semisup.images.ignored_files import OTHER_SUFFIX, OUTPUT_FOLDER, reason_to_ignore
from semisup.runtime.descriptors import NO_WAIT, READ, read_at
from semisup.text import escape_name

Folder = TypeVar("Folder")

RUN_FILES = frozenset({"config.yaml", "run.json"})
"""A folder with all of these files is the folder of a run; its plots are images, but not data."""

COMPARISON_PLOT, COMPARISON = "comparison.png", "comparison.json"
"""A plot of `semisup compare`, and the file that is always written beside it."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file, as it was at the time of the scan.

    path: path of the file
    name: name of the image in the files of a run: the path relative to the root of the data set, printable and with
        slashes
    bytes_: size of the file
    mtime_ns, ctime_ns, inode: times and inode of the file, by which changes of its content are detected
    """

    path: str
    name: str
    bytes_: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    def content_key(self) -> str:
        """Return text that changes when the name or the content of the image changes."""
        return f"{json.dumps(self.name)} {self.bytes_} {self.mtime_ns} {self.ctime_ns} {self.inode}"


@dataclass(frozen=True)
class Scan:
    """Result of the scan of a folder.

    files: image files, sorted by the bytes of their path
    ignored: reason -> number of ignored entries. The reasons are "hidden" (a hidden folder counts once), "other
        suffix", "symlink" (links are not followed), "broken symlink", "seen already" (a link to a file or folder that
        the scan has visited), "not a regular file" (FIFO, socket, device), "vanished" (removed during the scan),
        OUTPUT_FOLDER (files that this program or W&B wrote) and HEIC_HINT (a HEIC image, but the package to read it is
        not installed)
    suffixes: suffix, with its dot -> number of files ignored as "other suffix"; "." = files without a suffix
    """

    files: tuple[ImageFile, ...]
    ignored: dict[str, int]
    suffixes: dict[str, int]


def scan(
    root: Path,
    folder: Path,
    *,
    follow_symlinks: bool,
    recursive: bool = True,
    ignored_names: dict[str, str] | None = None,
) -> Scan:
    """Find the image files in `folder` and its subfolders.

    Args:
        root: the folder to which names are relative; `folder` is `root` or below it.
        folder: the folder to search.
        follow_symlinks: include the targets of links. Each file and folder is included once; if it can be reached with
            and without a link, its name is the path without a link.
        recursive: search the subfolders; if not, they are not counted as ignored.
        ignored_names: this function adds to it, for each ignored entry, its name -> the reason, or its suffix if the
            reason is "other suffix". None = the names are not collected.

    Raises:
        DataError: a folder is missing or unreadable.
    """
    _entries(folder)  # raises where `folder` is missing, a file, or unreadable
    ignored = _Ignored(ignored_names is not None)
    start, inside = os.path.join(folder, ""), os.path.join(folder.relative_to(root), "")
    inside = "" if inside == os.path.join(".", "") else inside
    files = [
        ImageFile(
            path,
            escape_name(_decode_path(_with_slashes(inside + path.removeprefix(start)))),
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_ino,
        )
        for path, status in _walk(os.fspath(folder), follow_symlinks, recursive, ignored)
    ]
    files.sort(key=lambda file: os.fsencode(file.path))
    for path, reason in ignored.entries:
        assert ignored_names is not None
        ignored_names[escape_name(_decode_path(_with_slashes(inside + path.removeprefix(start))))] = reason
    return to_scan(files, ignored)


def to_scan(files: Iterable[ImageFile], ignored: Counter[str]) -> Scan:
    """Build the result of a scan.

    Args:
        files: the image files, in order.
        ignored: suffix, with its dot -> number of files ignored because of it; other reason -> number of entries.
    """
    suffixes = {reason: count for reason, count in sorted(ignored.items()) if reason.startswith(".")}
    reasons = {reason: count for reason, count in ignored.items() if reason not in suffixes}
    if suffixes:
        reasons[OTHER_SUFFIX] = sum(suffixes.values())
    return Scan(tuple(files), dict(sorted(reasons.items())), suffixes)


def has_run_files(folder: Path) -> bool:
    """Whether a folder contains the files of a run (RUN_FILES)."""
    return all((folder / name).is_file() for name in RUN_FILES)


def image_file(path: Path | str, name: str | None = None) -> ImageFile:
    """Build the ImageFile of a file that is to be read as an image, whatever its suffix is.

    Args:
        name: printable name of the image; None = its path.

    Raises:
        DataError: there is no such file.
    """
    status = _status(os.fspath(path))
    if status is None:
        raise DataError(f"{shown(path)}: no such file or folder")
    return ImageFile(
        os.fspath(path),
        shown(path) if name is None else name,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )


def class_folders(folder: Path, *, follow_symlinks: bool) -> dict[str, Path]:
    """List the subfolders that are not hidden: class name -> folder, sorted by the bytes of the names.

    The names are printable and in the Unicode normalization form NFC, so that they are the same on all systems.

    Raises:
        DataError: two folders have the same name in NFC, or `folder` is missing or unreadable.
    """
    named = (
        (escape_name(unicodedata.normalize("NFC", _decode_path(entry.name))), Path(entry.path))
        for entry in _entries(folder)
        if not is_hidden(entry.name) and entry.is_dir(follow_symlinks=follow_symlinks)
    )
    return by_class_name(named, shown(folder))


def by_class_name(named: Iterable[tuple[str, Folder]], shown_folder: str) -> dict[str, Folder]:
    """Build a dictionary from class names to folders, sorted by the bytes of the names.

    Args:
        named: for each class, its name in the Unicode normalization form NFC, and its folder.
        shown_folder: path of the folder that contains these folders, for the message.

    Raises:
        DataError: two folders have the same name.
    """
    folders: dict[str, Folder] = {}
    for name, folder in named:
        if name in folders:
            raise DataError(
                f"{shown_folder}: two folders have the class name {name} after Unicode normalization (NFC);"
                " rename one of them"
            )
        folders[name] = folder
    return dict(sorted(folders.items(), key=lambda item: item[0].encode()))


def image_name(root: Path, path: Path) -> str:
    """Build the name of an image in the files of a run: its path relative to `root`, with slashes and printable."""
    return escape_name(_decode_path(path.relative_to(root).as_posix()))


def shown(path: Path | str) -> str:
    """Convert `path` to printable text for messages."""
    return escape_name(_decode_path(path))


def _with_slashes(path: str) -> str:
    """Replace the separators of a path by slashes."""
    return path if os.sep == "/" else path.replace(os.sep, "/")


def _decode_path(path: Path | str) -> str:
    """Decode a path as UTF-8; bytes that are not UTF-8 become surrogates."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


class _Ignored(Counter[str]):
    """Counter of ignored entries by reason.

    Args:
        listed: also store the path and the reason of each entry, in `entries`.
    """

    def __init__(self, listed: bool) -> None:
        super().__init__()
        self.listed = listed
        self.entries: list[tuple[str, str]] = []

    def note(self, path: str, reason: str) -> None:
        self[reason] += 1
        if self.listed:
            self.entries.append((path, reason))


def _walk(
    folder: str, follow_symlinks: bool, recursive: bool, ignored: _Ignored
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and status of the image files of a folder, in any order; count all other entries in `ignored`."""
    # links come last, so that a file is found under its own name before it is found under the name of a link
    pending, links, seen = [folder], deque[str](), set[tuple[int, int]]()
    while pending or links:
        path = pending.pop() if pending else links.popleft()
        status = _status(path)
        if status is None:
            ignored.note(path, "broken symlink" if os.path.islink(path) else "vanished")
        elif not stat.S_ISDIR(status.st_mode):
            if _is_image(path, status, seen if follow_symlinks else None, ignored):
                yield path, status
        elif path != folder and not recursive:
            continue
        elif not follow_symlinks or _is_new(path, status, seen, ignored):
            entries = _entries(path)
            names = {entry.name for entry in entries}
            if path != folder and _is_output_folder(os.path.basename(path), names):
                ignored.note(path, OUTPUT_FOLDER)
                continue
            for entry in entries:
                if is_hidden(entry.name):
                    ignored.note(entry.path, "hidden")
                elif entry.is_symlink():
                    if follow_symlinks:
                        links.append(entry.path)
                    else:
                        ignored.note(entry.path, "symlink")
                elif follow_symlinks or entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.name == COMPARISON_PLOT and COMPARISON in names:
                    ignored.note(entry.path, OUTPUT_FOLDER)
                elif (entry_status := _status(entry.path)) is None:
                    ignored.note(entry.path, "vanished")
                elif _is_image(entry.path, entry_status, None, ignored):
                    yield entry.path, entry_status


def _is_output_folder(name: str, names: Iterable[str]) -> bool:
    """Whether a folder was written by this program or by W&B.

    Args:
        name: name of the folder.
        names: names of its entries.
    """
    if name == "wandb":
        return any(each.startswith(("run-", "offline-run-")) for each in names)
    return set(names) >= RUN_FILES


def _is_image(path: str, status: os.stat_result, seen: set[tuple[int, int]] | None, ignored: _Ignored) -> bool:
    """Whether a directory entry that is not a folder is an image file; if not, count it in `ignored`.

    Args:
        seen: (device, inode) of each image file found so far. An entry that is one of these files is ignored; a new
            image file is added to `seen`. None = do not check.
    """
    if seen is not None and (status.st_dev, status.st_ino) in seen:
        ignored.note(path, "seen already")
        return False
    if not stat.S_ISREG(status.st_mode):
        ignored.note(path, "not a regular file")
        return False
    if (reason := reason_to_ignore(os.path.splitext(path)[1].lower(), lambda: _ends(path))) is not None:
        ignored.note(path, reason)
        return False
    if seen is not None:
        seen.add((status.st_dev, status.st_ino))
    return True


def _ends(path: str) -> tuple[bytes, bytes]:
    """Read the first and the last bytes of a regular file; b"" if it cannot be read."""
    try:
        descriptor = os.open(path, READ | NO_WAIT)
    except OSError:
        return b"", b""
    try:
        length, size = len(TGA_FOOTER), os.fstat(descriptor).st_size
        return os.read(descriptor, SIGNATURE_BYTES), read_at(descriptor, length, max(0, size - length))
    except OSError:
        return b"", b""
    finally:
        os.close(descriptor)


def _is_new(path: str, status: os.stat_result, seen: set[tuple[int, int]], ignored: _Ignored) -> bool:
    """Whether a folder is visited for the first time; then add it to `seen`, otherwise count it in `ignored`.

    Args:
        seen: (device, inode) of each visited folder and of each image file found so far.
    """
    if (status.st_dev, status.st_ino) in seen:
        ignored.note(path, "seen already")
        return False
    seen.add((status.st_dev, status.st_ino))
    return True


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """List the entries of `folder`, sorted by the bytes of their names."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise _unreadable(folder, error) from error


def _status(path: str) -> os.stat_result | None:
    """Read the status of a file, following links; None if it does not exist, or if links form a loop."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: OSError) -> DataError:
    return DataError(f"{shown(path)}: cannot be read ({error.strerror})")


def is_hidden(name: str) -> bool:
    """Whether a name begins with a dot, or is Thumbs.db, a hidden file of Windows."""
    # such as .DS_Store, ._a.jpg, .ipynb_checkpoints and .nfs0001
    return name.startswith(".") or name.lower() == "thumbs.db"
