"""Write files atomically and durably: after a crash or power loss the old or the new file is there, never a part.

Write a temporary file, fsync it, rename it, fsync the directory. Temporary files of dead processes are removed by
`remove_stale_temporary_files`.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from semisup.runtime.liveness import pid_namespace, start_time

_LIFE = os.urandom(4).hex()
"""Distinguishes this process from a dead one with the same id; the first process of a container always has id 1."""

_ABANDONED_SECONDS = 3600
"""Since the last write to a temporary file of another PID namespace, whose processes cannot be seen from here."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers of a full disk, an exceeded quota and a file size limit."""

_NO_FOLDER_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}


def write_atomically(
    path: Path, *chunks: bytes | memoryview, durable: bool = True, confirm: Callable[[], None] = lambda: None
) -> None:
    """Replace the file `path` in one step by the concatenated chunks.

    Args:
        path: its directory must exist. Concurrent writers need no lock: the last one wins.
        chunks: the content; a memoryview must be contiguous, and is not copied.
        durable: False skips fsync: a power loss may leave a part of the file; only for files that are verified when
            they are read and can be computed again.
        confirm: called right before the rename; if it raises, the old file stays.

    Raises:
        OSError: disk full, read-only, EIO, ... The file that was there before is untouched, nothing is left behind.
    """
    temporary = _temporary_path(path)
    try:
        _write_temporary(temporary, chunks, durable=durable)
        confirm()
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise with_path(error, path, sum(len(memoryview(chunk).cast("B")) for chunk in chunks)) from None
        raise
    if durable:
        sync_folder(path.parent)


def with_path(error: OSError, path: Path, need: int) -> OSError:
    """Return the same error with the path and, for a full disk, the bytes needed and free."""
    if error.errno not in FULL:
        return OSError(error.errno, error.strerror, str(path))
    try:
        free = os.statvfs(path.parent)
        room = f"{need} bytes are needed, {free.f_bavail * free.f_frsize} are free"
    except OSError:
        room = f"{need} bytes are needed"
    return OSError(error.errno, f"{error.strerror} ({room})", str(path))


class AtomicFile:
    """A temporary file in `folder` that `commit` renames; a context that removes it if it was not committed.

    Raises:
        OSError: by every method: disk full, read-only, EIO, ...; names the file, or the folder before `commit`.
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
        """Append the chunk."""
        self.size += len(memoryview(chunk).cast("B"))
        try:
            self.file.write(chunk)
        except OSError as error:
            raise with_path(error, self.folder, self.size) from None

    def commit(self, path: Path, start: bytes = b"", *, durable: bool = True) -> None:
        """Overwrite the first bytes by `start` and rename the file to `path`; `durable` as in `write_atomically`."""
        try:
            self.file.seek(0)
            self.file.write(start)
            self.file.flush()
            if durable:
                os.fsync(self.file.fileno())
            os.replace(self.temporary, path)
        except OSError as error:
            raise with_path(error, path, self.size) from None
        if durable:
            sync_folder(path.parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # of an uncommitted file: it would hide the first error
            self.file.close()


def create_exclusive(path: Path, content: bytes) -> bool:
    """Create the file `path` unless it exists; of several processes that create one path, one gets True.

    Without hard links, a process that dies in this call may leave the file empty.

    Raises:
        OSError: disk full, read-only, EIO, ...
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
    """Open an existing file to overwrite bytes in place; returns the descriptor. For a lock's heartbeat only."""
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def rename_away(path: Path) -> Path | None:
    """Rename the file `path` to a temporary name and return it; None if there is no such file.

    Of several processes, one gets it. The caller removes it; `remove_stale_temporary_files` does if the caller dies.
    """
    aside = _temporary_path(path)
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return None
    return aside


def restore(aside: Path, path: Path) -> None:
    """Give a file of `rename_away` its name back, as the same inode, unless the name is in use again.

    Where the file system has no hard links, a copy gets the name.

    Raises:
        OSError: disk full, read-only, EIO, ...
    """
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _create_without_links(path, aside.read_bytes())


def _temporary_path(path: Path) -> Path:
    mine = f"{pid_namespace()}.{os.getpid()}.{_started(os.getpid())}.{_LIFE}"
    return path.with_name(f".{os.uname().nodename}.{mine}.{os.urandom(8).hex()}.tmp")


@cache
def _started(process: int) -> str | None:
    return start_time(process)


def _create(path: Path, mode: int) -> int:
    """Create the file `path`, open it for writing and return the descriptor; raises FileExistsError if it exists."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def _write_temporary(temporary: Path, chunks: Iterable[bytes | memoryview], *, durable: bool = True) -> None:
    descriptor = _create(temporary, 0o666)
    with open(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        if durable:
            os.fsync(descriptor)


def make_folder(folder: Path) -> None:
    """Create a directory and its missing parents durably.

    Raises:
        OSError: read-only, a file has that name, ...
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def remove_stale_temporary_files(folder: Path) -> int:
    """Remove the temporary files in `folder` of processes of this host that have died.

    Returns:
        the number of removed files; 0 for a directory that is missing or not writable.
    """
    name = re.compile(rf"\.{re.escape(os.uname().nodename)}\.(\d*)\.(\d+)\.(\w+)\.([0-9a-f]+)\.[0-9a-f]+\.tmp")
    removed = 0
    try:
        for path in folder.iterdir():
            match = name.fullmatch(path.name)
            if match and not _writes(path, *match.groups()):
                path.unlink(missing_ok=True)
                removed += 1
    except OSError:
        return removed  # the caller's own write reports what is wrong
    return removed


def _writes(path: Path, of: str, process: str, started: str, life: str) -> bool:
    """Whether the process that a temporary file is named after may still be writing it."""
    if of != pid_namespace():
        return _file_system_time(path) - path.stat().st_mtime < _ABANDONED_SECONDS
    if int(process) == os.getpid():
        return life == _LIFE
    return start_time(int(process)) == started


def _file_system_time(beside: Path) -> float:
    """The time by which the file system dates files, which may be another machine's: the date of a new file."""
    probe = _temporary_path(beside)
    descriptor = _create(probe, 0o600)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)


def redirect_to_devnull(descriptor: int) -> None:
    """Discard everything that is written to `descriptor` from now on, such as a pipe without a reader."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the file system supports that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FSYNC:
            raise with_path(error, folder, 0) from None
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """Lock a file with flock, creating it if it is missing; on this machine only.

    Returns:
        a descriptor that holds the lock until it is closed or the process ends; None if another process holds it.

    Raises:
        OSError: the file cannot be created, or the file system does not support locks.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def discard_writes(path: Path) -> None:
    """Replace a file by a link to the null device, so that another library's writes to it go nowhere."""
    path.unlink(missing_ok=True)
    path.symlink_to(os.devnull)
