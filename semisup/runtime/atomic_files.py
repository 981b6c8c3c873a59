"""How every file of ours comes to be: whole or not at all, even if the power goes.

Write aside, fsync, rename, fsync the folder. After a crash the old file or the new one is there, never a part of
either; what was written aside is removed by the next process of this host that looks.
"""

import contextlib
import errno
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from semisup.runtime.liveness import pid_namespace, start_time

_LIFE = os.urandom(4).hex()
"""Tells this process from a dead one that had the same id, as the first process of a container always has."""

_FORGOTTEN_SECONDS = 3600
"""Since the last write of what a process of another container left: whether that lives cannot be seen from here."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What a disk, a quota or a limit says that has no room left."""

_NO_FOLDER_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}


def write_atomically(
    path: Path, *chunks: bytes | memoryview, sure: bool = True, confirm: Callable[[], None] = lambda: None
) -> None:
    """Put the chunks, one after the other, into the file `path`, replacing it in one step.

    Args:
        path: the file; its folder must exist. Writers of one path need no lock: the last one wins, whole.
        chunks: the content; a memoryview must be contiguous, and is not copied.
        sure: False: when the power goes, a part of it may be left under its name; for what is checked when it is read,
            and can be made anew.
        confirm: called right before the rename; if it raises, the old file stays.

    Raises:
        OSError: disk full, read-only, EIO, ... The file that was there before is untouched, nothing is left behind.
    """
    temporary = _temporary_path(path)
    try:
        _write_aside(temporary, chunks, sure=sure)
        confirm()
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise with_path(error, path, sum(len(memoryview(chunk).cast("B")) for chunk in chunks)) from None
        raise
    if sure:
        sync_folder(path.parent)


def with_path(error: OSError, path: Path, need: int) -> OSError:
    """The same error with the file that was to be written and, of a full disk, how many bytes too many."""
    if error.errno not in FULL:
        return OSError(error.errno, error.strerror, str(path))
    try:
        free = os.statvfs(path.parent)
        room = f"{need} bytes are needed, {free.f_bavail * free.f_frsize} are free"
    except OSError:
        room = f"{need} bytes are needed"
    return OSError(error.errno, f"{error.strerror} ({room})", str(path))


class AtomicFile:
    """A file that grows out of sight in `folder`, a context: `commit` makes it appear whole, else nothing is left of it.

    Raises, in all it does:
        OSError: disk full, read-only, EIO, ...; names the file, or the folder while the file has no name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary, self.size = folder, _temporary_path(folder / "any"), 0

    def __enter__(self) -> Self:
        descriptor = os.open(self.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self.file = open(descriptor, "wb")  # closed by __exit__
        return self

    def write(self, chunk: bytes | memoryview) -> None:
        """Put the chunk at the end."""
        self.size += len(memoryview(chunk).cast("B"))
        try:
            self.file.write(chunk)
        except OSError as error:
            raise with_path(error, self.folder, self.size) from None

    def commit(self, path: Path, start: bytes = b"", *, sure: bool = True) -> None:
        """Write `start` over the first bytes, and give the file its name; `sure` as above."""
        try:
            self.file.seek(0)
            self.file.write(start)
            self.file.flush()
            if sure:
                os.fsync(self.file.fileno())
            os.replace(self.temporary, path)
        except OSError as error:
            raise with_path(error, path, self.size) from None
        if sure:
            sync_folder(path.parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # of what was not put, which is not wanted: it would hide why
            self.file.close()


def create_exclusive(path: Path, content: bytes) -> bool:
    """Make the file `path`, unless there is one: of several processes that claim one path, one is told True.

    Where the file system has no hard links, a process that dies in here can leave the file empty.

    Raises:
        OSError: disk full, read-only, EIO, ...
    """
    temporary = _temporary_path(path)
    try:
        _write_aside(temporary, (content,))
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _claim_without_links(path, content)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _claim_without_links(path: Path, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return False
    with open(descriptor, "wb") as file:
        file.write(content)
    return True


def rename_away(path: Path) -> Path | None:
    """Move the file `path` aside, or None where there is none: of several processes that try, one gets it.

    The caller looks at it and removes it; if the caller dies, `remove_stale_temporary_files` does.
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
        _claim_without_links(path, aside.read_bytes())


def _temporary_path(path: Path) -> Path:
    mine = f"{pid_namespace()}.{os.getpid()}.{_started(os.getpid())}.{_LIFE}"
    return path.with_name(f".{os.uname().nodename}.{mine}.{os.urandom(8).hex()}.tmp")


@cache
def _started(process: int) -> str | None:
    return start_time(process)


def _write_aside(temporary: Path, chunks: Iterable[bytes | memoryview], *, sure: bool = True) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with open(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        if sure:
            os.fsync(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, so that what is written into it is found after a crash.

    Raises:
        OSError: read-only, a file is in the way, ...
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def remove_stale_temporary_files(folder: Path) -> int:
    """Remove what processes of this host wrote aside in `folder` and did not live to rename.

    Returns:
        how many files were removed. A folder that is missing or not ours to clean counts as clean.
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
        return removed  # cleaning is a courtesy: the caller's own write will say what is wrong
    return removed


def _writes(path: Path, of: str, process: str, started: str, life: str) -> bool:
    """Whether the process that a file aside is named after may still be writing it."""
    if of != pid_namespace():
        return time.time() - path.stat().st_mtime < _FORGOTTEN_SECONDS
    if int(process) == os.getpid():
        return life == _LIFE
    return start_time(int(process)) == started


def redirect_to_devnull(descriptor: int) -> None:
    """Whatever is written to `descriptor` from now on is gone: of a pipe whose reader left."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` last, where the file system can promise that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FSYNC:
            raise with_path(error, folder, 0) from None
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """A file of this process's own, created if missing, until the descriptor that is returned is closed or the process
    ends, however it ends; None where another process has it. Of this machine only. OSError where it cannot be."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor
