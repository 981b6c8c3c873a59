"""Write files atomically and durably: after a crash or power loss, a file has its old or its new content.

A write creates a temporary file, calls fsync on it, renames it, and calls fsync on the directory.
"""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from semisup.runtime import temporary_files
from semisup.runtime.descriptors import READ, WRITE_NEW
from semisup.runtime.temporary_files import write_new_file

FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
"""Error numbers of a full disk, an exceeded quota and a file size limit."""

_NO_FOLDER_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}


def write_atomically(
    path: Path, *chunks: bytes | memoryview, durable: bool = True, confirm: Callable[[], None] = lambda: None
) -> None:
    """Write a file atomically, from chunks of bytes; an existing file is replaced.

    Args:
        path: path of the file, in an existing directory. Concurrent writers need no lock: the last one determines the
            content.
        chunks: the content. A memoryview must be contiguous, and is not copied.
        durable: whether to call fsync. Without it, a power loss may leave an incomplete file.
        confirm: called right before the rename; if it raises an exception, the old file remains.

    Raises:
        OSError: the file cannot be written, for example because the disk is full. The old file is unchanged, and no
            temporary file remains.
    """
    temporary = temporary_files.temporary_path(path)
    try:
        write_new_file(temporary, chunks, durable=durable)
        confirm()
        _replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise with_path(error, path, sum(len(memoryview(chunk).cast("B")) for chunk in chunks)) from None
        raise
    if durable:
        sync_folder(path.parent)


def with_path(error: OSError, path: Path, need: int) -> OSError:
    """Add the path of the file to an OSError; if the disk is full, also add the bytes needed and free."""
    if error.errno not in FULL:
        return OSError(error.errno, error.strerror, str(path))
    try:
        room = f"{need} bytes are needed, {shutil.disk_usage(path.parent).free} are free"
    except OSError:
        room = f"{need} bytes are needed"
    return OSError(error.errno, f"{error.strerror} ({room})", str(path))


class AtomicFile:
    """A temporary file that gets its final path by `commit`.

    Use it as a context manager; if `commit` was not called, the file is removed at the end.

    Args:
        folder: directory of the temporary file, on the same file system as the final path.

    Raises:
        OSError: in any method, if the file cannot be written, for example because the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary, self.size = folder, temporary_files.temporary_path(folder / "any"), 0

    def __enter__(self) -> Self:
        try:
            descriptor = os.open(self.temporary, WRITE_NEW, 0o666)
        except OSError as error:
            raise with_path(error, self.folder, 0) from None
        self.file = open(descriptor, "wb")  # closed by __exit__
        return self

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes to the temporary file."""
        self.size += len(memoryview(chunk).cast("B"))
        try:
            self.file.write(chunk)
        except OSError as error:
            raise with_path(error, self.folder, self.size) from None

    def commit(self, path: Path, start: bytes = b"", *, durable: bool = True) -> None:
        """Overwrite the first bytes of the temporary file with `start`, and rename the file to its final path.

        Args:
            durable: as in `write_atomically`.
        """
        try:
            self.file.seek(0)
            self.file.write(start)
            self.file.flush()
            if durable:
                os.fsync(self.file.fileno())
            self.file.close()  # Windows renames no open file
            _replace(self.temporary, path)
        except OSError as error:
            raise with_path(error, path, self.size) from None
        if durable:
            sync_folder(path.parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # an error here would hide the first one
            self.file.close()
        self.temporary.unlink(missing_ok=True)


def _check_absent(path: Path) -> None:
    """Raise FileExistsError if there is a file, folder or link of this name."""
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "exists already, and is not overwritten; give another name", str(path))


class NewFolder:
    """A temporary folder that gets its final name by `commit`, when all its files are written.

    Use it as a context manager; if `commit` was not called, the folder is removed at the end.

    Args:
        path: the final path of the folder.

    Raises:
        FileExistsError: `path` exists already.
        OSError: in any method, if a file cannot be written, for example because the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, temporary_files.temporary_path(path)

    def __enter__(self) -> Self:
        _check_absent(self.path)
        try:
            self.temporary.mkdir()
        except OSError as error:
            raise with_path(error, self.path, 0) from None
        return self

    def write(self, name: str, content: bytes) -> None:
        """Write a file.

        Args:
            name: path of the file relative to the folder.
            content: content of the file.
        """
        path = self._place(name)
        try:
            write_new_file(path, (content,))
        except OSError as error:
            raise with_path(error, self.path / name, len(content)) from None

    def link(self, name: str, source: Path) -> None:
        """Create a symbolic link `name` in the folder, to the absolute path of `source`."""
        self._place(name).symlink_to(source.absolute())

    def copy(self, name: str, source: Path) -> None:
        """Copy the file `source` to the path `name` in the folder."""
        try:
            shutil.copyfile(source, self._place(name))
        except OSError as error:
            raise with_path(error, source if error.errno == errno.ENOENT else self.path / name, 0) from None

    def commit(self) -> None:
        """Rename the folder to its final name."""
        _check_absent(self.path)
        os.rename(self.temporary, self.path)
        sync_folder(self.path.parent)

    def _place(self, name: str) -> Path:
        path = self.temporary / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)


_IN_USE = (5, 32)
"""Error numbers of Windows for a file that another process has open: access denied, sharing violation."""

_REPLACE_SECONDS = 2.0
"""Time for which this process tries to replace a file that another process has open."""


def _replace(source: Path, target: Path) -> None:
    """Rename a file to the path `target`, and replace an existing file there.

    On Windows, wait up to two seconds until no other process has the target open.
    """
    deadline = time.monotonic() + _REPLACE_SECONDS
    while True:
        try:
            return os.replace(source, target)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def make_folder(folder: Path) -> None:
    """Create a directory and its missing parents, and make sure that they survive a power loss.

    Raises:
        OSError: it cannot be created, for example because a file has this path or the disk is read-only.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make sure that file renames in `folder` survive a power loss, if the file system supports this."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folders
        return
    descriptor = os.open(folder, READ | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FSYNC:
            raise with_path(error, folder, 0) from None
    finally:
        os.close(descriptor)
