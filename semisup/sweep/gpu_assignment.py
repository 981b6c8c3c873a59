"""Assign one GPU to each process that runs jobs of a sweep on this machine.

A process gets the GPU that the fewest other processes of this user have. The process holds a file lock for its GPU;
the operating system releases the lock when the process ends, even after a crash.
"""

import errno
import os
import stat
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from semisup.config.resolvers import VISIBLE, visible_gpus
from semisup.runtime.exclusive_files import try_lock

UNASSIGNED_DEVICES = ("cuda", "auto")
"""Values of `device` that name no particular GPU."""

_held_locks: list[int] = []  # open files


def assign_gpu(device: str) -> None:
    """Restrict this process to the GPU that the fewest other processes use; call it before CUDA is initialized.

    Do nothing if there is only one GPU. If the locks cannot be created, print a warning and do nothing.

    Args:
        device: the setting `device`; do nothing if it names a particular GPU, such as cuda:1.
    """
    if device in UNASSIGNED_DEVICES and not _held_locks and len(visible := visible_gpus()) > 1:
        try:
            os.environ[VISIBLE] = acquire_gpu(visible, Path(tempfile.gettempdir()) / f"semisup-{_user()}")
        except OSError as error:
            warnings.warn(f"cannot lock a GPU ({error}); using the first visible one", stacklevel=2)


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "gpus"


def acquire_gpu(visible: Sequence[str], folder: Path) -> str:
    """Lock one of the visible GPUs until this process ends; return its name.

    Args:
        visible: names of the GPUs that this process can see.
        folder: folder of the lock files; it is created if missing.

    Raises:
        OSError: the folder cannot be used, is a symbolic link, or belongs to another user.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    is_own = (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )  # on Windows, the temporary folder is the user's own
    if not is_own or not stat.S_ISDIR(status.st_mode):
        raise PermissionError(errno.EPERM, "is not a folder that belongs to this user", str(folder))
    holders = 0
    while True:
        for gpu in visible:
            lock = try_lock(folder / f"gpu-{quote(gpu, safe='')}-{holders}.lock")  # MIG-GPU-.../1/0 is a name too
            if lock is not None:
                _held_locks.append(lock)
                return gpu
        holders += 1
