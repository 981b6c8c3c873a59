"""Create, rename and lock files so that of several processes only one succeeds."""

import errno
import os
from pathlib import Path

from semisup.runtime import temporary_files
from semisup.runtime.descriptors import UPDATE, WRITE_NEW
from semisup.runtime.temporary_files import write_new_file

_NO_LINKS = {errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def create_exclusive(path: Path, content: bytes) -> bool:
    """Create the file `path` with this content, unless it exists; return whether this call created it.

    If several processes call it at the same time, only one of them creates the file. On a file system without hard
    links, a process that dies during this call may leave an empty file.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    temporary = temporary_files.temporary_path(path)
    try:
        write_new_file(temporary, (content,))
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
        descriptor = os.open(path, WRITE_NEW, 0o644)
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
    aside = temporary_files.temporary_path(path)
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
