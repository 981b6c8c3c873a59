"""A GPU for each of the runs of a sweep that go side by side on one machine.

Each process that runs jobs takes one for as long as it lives: the one that the fewest others of this user hold. Who
holds what is in locks on files, which end with their process, however that ends.
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

UNASSIGNED_DEVICES = ("cuda", "auto")  # values of `device` that name no GPU of their own

_held_locks: list[int] = []  # open files


def assign_gpu(device: str) -> None:
    """Let this process see one GPU from now on, unless `device` says which, or there are not several; before CUDA is
    started in it. Where the locks cannot be had it sees them all, and CUDA takes the first."""
    if device in UNASSIGNED_DEVICES and not _held_locks and len(there := visible_gpus()) > 1:
        try:
            os.environ[VISIBLE] = acquire_gpu(there, Path(tempfile.gettempdir()) / f"semisup-{os.getuid()}")
        except OSError as error:
            warnings.warn(f"who uses which GPU is not to be known ({error}); going on with the first", stacklevel=2)


def acquire_gpu(there: Sequence[str], folder: Path) -> str:
    """One of these GPUs, held until this process ends.

    Args:
        folder: of the locks; made where it is missing.

    Raises:
        OSError: it cannot be made or used, or is somebody else's, who could keep us waiting or lead us elsewhere.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if (found := folder.lstat()).st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(errno.EPERM, "not a folder of this user's own", str(folder))
    holders = 0
    while True:
        for gpu in there:
            lock = try_lock(folder / f"gpu-{quote(gpu, safe='')}-{holders}.lock")  # MIG-GPU-.../1/0 is a name too
            if lock is not None:
                _held_locks.append(lock)
                return gpu
        holders += 1
