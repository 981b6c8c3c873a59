"""A GPU for each of the runs of a sweep that go side by side on one machine.

Each process that runs jobs takes one for as long as it lives: the one that the fewest others of this user hold. Who
holds what is in locks on files, which end with their process, however that ends.
"""

import functools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from semisup.disk import locked

VISIBLE = "CUDA_VISIBLE_DEVICES"
ANY = ("cuda", "auto")  # values of `device` that name no GPU of their own

_held: list[int] = []  # open files


def gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES has for them. Starts none of them."""
    if (visible := os.environ.get(VISIBLE)) is not None:
        return [each.strip() for each in visible.split(",") if each.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@functools.cache  # before `settle`, after which this process sees one
def number_of_gpus() -> int:
    """At least 1: so many runs go side by side where there is none."""
    return max(1, len(gpus()))


def settle(device: str) -> None:
    """Let this process see one GPU from now on, unless `device` says which, or there are not several; before CUDA is
    started in it."""
    if device in ANY and not _held and len(there := gpus()) > 1:
        os.environ[VISIBLE] = take(there, Path(tempfile.gettempdir()) / f"semisup-{os.getuid()}")


def take(there: Sequence[str], folder: Path) -> str:
    """One of these GPUs, held until this process ends.

    Args:
        folder: of the locks; made where it is missing.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    holders = 0
    while True:
        for gpu in there:
            if (lock := locked(folder / f"gpu-{gpu}-{holders}.lock")) is not None:
                _held.append(lock)
                return gpu
        holders += 1
