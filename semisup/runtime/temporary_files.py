"""Name, write and remove the temporary files beside files that are being written.

The name of a temporary file contains the process that writes it. Therefore the temporary files of dead processes can be
recognized and removed.
"""

import os
import re
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from semisup.runtime.descriptors import WRITE_NEW
from semisup.runtime.liveness import pid_namespace, start_time

_LIFE = os.urandom(4).hex()
"""Random name of this process, because a dead process may have had the same process id."""

_ABANDONED_SECONDS = 3600
"""Seconds after the last write at which a temporary file from another PID namespace is considered abandoned."""


def temporary_path(path: Path) -> Path:
    """Return a new name for a temporary file of this process, in the directory of `path`."""
    mine = f"{pid_namespace()}.{os.getpid()}.{_started(os.getpid())}.{_LIFE}"
    return path.with_name(f".{socket.gethostname()}.{mine}.{os.urandom(8).hex()}.tmp")


@cache
def _started(process: int) -> str | None:
    return start_time(process)


def write_new_file(path: Path, chunks: Iterable[bytes | memoryview], *, durable: bool = True) -> None:
    """Create a file and write chunks of bytes to it.

    Args:
        durable: whether to call fsync.

    Raises:
        OSError: the file exists, or it cannot be written, for example because the disk is full.
    """
    descriptor = os.open(path, WRITE_NEW, 0o666)
    with open(descriptor, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        if durable:
            os.fsync(descriptor)


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
    probe = temporary_path(beside)
    descriptor = os.open(probe, WRITE_NEW, 0o600)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)
