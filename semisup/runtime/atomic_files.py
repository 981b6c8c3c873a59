"""Write files atomically and durably: after a crash or power loss, a file has its old or its new content.

A write creates a temporary file, calls fsync on it, renames it, and calls fsync on the directory.
"""

import contextlib
import errno
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from semisup.runtime.descriptors import READ, UPDATE, WRITE_NEW
from semisup.runtime.liveness import pid_namespace, start_time

_LIFE = os.urandom(4).hex()
"""Random name of this process, because a dead process may have had the same process id."""

_ABANDONED_SECONDS = 3600
"""Seconds after the last write at which a temporary file from another PID namespace is considered abandoned."""

_NO_LINKS = {errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

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
    temporary = _temporary_path(path)
    try:
        _write_temporary(temporary, chunks, durable=durable)
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
        self.folder, self.temporary, self.size = folder, _temporary_path(folder / "any"), 0

    def __enter__(self) -> Self:
        try:
            descriptor = _create(self.temporary, 0o666)
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
        self.path, self.temporary = path, _temporary_path(path)

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
            _write_temporary(path, (content,))
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


def create_exclusive(path: Path, content: bytes) -> bool:
    """Create the file `path` with this content, unless it exists; return whether this call created it.

    If several processes call it at the same time, only one of them creates the file. On a file system without hard
    links, a process that dies during this call may leave an empty file.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    temporary = _temporary_path(path)
    try:
        _write_temporary(temporary, (content,))
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_without_links(path, content)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _create_without_links(path: Path, content: bytes) -> bool:
    try:
        descriptor = _create(path, 0o644)
    except FileExistsError:
        return False
    with open(descriptor, "wb") as file:
        file.write(content)
    return True


def open_for_update(path: Path) -> int:
    """Open an existing file for overwriting bytes in place, which is not atomic, and return its descriptor."""
    # used only for the heartbeat in a lock file
    return os.open(path, UPDATE)


def rename_away(path: Path) -> Path | None:
    """Rename a file to a temporary name in the same directory, and return the new path; None if it does not exist.

    If several processes call it at the same time, only one of them gets a path. The caller that gets a path must delete
    the renamed file.
    """
    aside = _temporary_path(path)
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return None
    return aside


def restore(aside: Path, path: Path) -> None:
    """Undo `rename_away`: link the renamed file to its old path, unless another file has this path now.

    The file also keeps its temporary name.

    Args:
        aside: path with the temporary name.
        path: the old path.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    try:
        os.link(aside, path)  # keeps the inode
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _create_without_links(path, aside.read_bytes())


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


def _temporary_path(path: Path) -> Path:
    mine = f"{pid_namespace()}.{os.getpid()}.{_started(os.getpid())}.{_LIFE}"
    return path.with_name(f".{socket.gethostname()}.{mine}.{os.urandom(8).hex()}.tmp")


@cache
def _started(process: int) -> str | None:
    return start_time(process)


def _create(path: Path, mode: int) -> int:
    """Create a file, open it for writing and return the descriptor.

    Raises:
        FileExistsError: the file exists.
    """
    return os.open(path, WRITE_NEW, mode)


def _write_temporary(temporary: Path, chunks: Iterable[bytes | memoryview], *, durable: bool = True) -> None:
    descriptor = _create(temporary, 0o666)
    with open(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        if durable:
            os.fsync(descriptor)


def make_folder(folder: Path) -> None:
    """Create a directory and its missing parents, and make sure that they survive a power loss.

    Raises:
        OSError: it cannot be created, for example because a file has this path or the disk is read-only.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def remove_stale_temporary_files(folder: Path) -> int:
    """Remove the temporary files in `folder` that dead processes of this machine have left.

    Returns:
        The number of removed files; 0 if the directory is missing or not writable.
    """
    name = re.compile(rf"\.{re.escape(socket.gethostname())}\.(\d*)\.(\d+)\.(\w+)\.([0-9a-f]+)\.[0-9a-f]+\.tmp")
    removed = 0
    try:
        for path in folder.iterdir():
            match = name.fullmatch(path.name)
            if match and not _writes(path, *match.groups()):
                path.unlink(missing_ok=True)
                removed += 1
    except OSError:
        return removed  # the caller's next write reports what is wrong
    return removed


def _writes(path: Path, of: str, process: str, started: str, life: str) -> bool:
    """Whether the process that created a temporary file may still be writing it.

    Args:
        path: the file.
        of, process, started, life: PID namespace, id, start time and random name of the process, from the file's name.
    """
    if of != pid_namespace():
        return _file_system_time(path) - path.stat().st_mtime < _ABANDONED_SECONDS
    if int(process) == os.getpid():
        return life == _LIFE
    return start_time(int(process)) == started


def _file_system_time(beside: Path) -> float:
    """Return the present time by the clock of a file system, which may be the clock of a file server.

    Args:
        beside: any path in a directory of the file system.
    """
    probe = _temporary_path(beside)
    descriptor = _create(probe, 0o600)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)


def redirect_to_devnull(descriptor: int) -> None:
    """Discard all bytes that are written to an open file descriptor from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


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


def try_lock(path: Path) -> int | None:
    """Lock a file against other processes of this machine; create the file if it is missing.

    Returns:
        An open descriptor; closing it, or the end of the process, releases the lock. None if another process holds the
        lock.

    Raises:
        OSError: the file cannot be created, or the file system does not support locks.
    """
    from filelock import lock_descriptor  # takes 20 ms

    descriptor = os.open(path, os.O_CREAT | UPDATE, 0o600)
    locked = False
    try:
        locked = lock_descriptor(descriptor, blocking=False)
    finally:
        if not locked:
            os.close(descriptor)
    return descriptor if locked else None


def discard_writes(path: Path) -> None:
    """Replace a file by a link to /dev/null, so that all later writes to this path are discarded.

    If Windows does not permit the link, the path is only deleted, and later writes create a file.
    """
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(os.devnull)
    except OSError:
        if os.name != "nt":
            raise
