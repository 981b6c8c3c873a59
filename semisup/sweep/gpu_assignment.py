"""Assign a GPU to each run of a sweep that trains at the same time on one machine.

Each process that runs jobs takes one GPU until the process ends. It takes the GPU that the fewest other processes of
this user have taken. To take a GPU, a process locks a file; the operating system releases the lock when the process
ends, even after a crash.
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
from semisup.runtime.atomic_files import try_lock

UNASSIGNED_DEVICES = ("cuda", "auto")
"""Values of `device` that name no particular GPU."""

_held_locks: list[int] = []  # open files


def assign_gpu(device: str) -> None:
    """Restrict this process to one GPU that few other runs use; call it before CUDA is initialized.

    Nothing changes if `device` names a particular GPU, or if there is only one GPU. If the locks cannot be created, the
    process sees all GPUs, and CUDA uses the first one.
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
