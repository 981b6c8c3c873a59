"""Configure torch's deterministic algorithms and the memory allocator of this process."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, malloc.h
_LARGEST_BLOCK, _MOST_KEPT = 2**30, 2**29  # bytes


def use_deterministic_algorithms() -> None:
    """Allow only bit-reproducible algorithms of torch; an operation without such an algorithm raises an error."""
    # As `torch.use_deterministic_algorithms(True)`, but without importing torch's compiler (2 s), and without filling
    # new memory with NaN (6 % of a step); no operation here reads uninitialized memory.
    set_cublas_workspace()
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextlib.contextmanager
def preserved_settings() -> Iterator[None]:
    """Context manager that restores at its end the settings of torch that a run changes in this process."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    flags = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32)
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    state = torch.random.get_rng_state()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = flags
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.random.set_rng_state(state)


def set_cublas_workspace() -> None:
    """Set the environment variable CUBLAS_WORKSPACE_CONFIG, if it is not set; deterministic runs on a GPU need it.

    Call it before the first run in a process, because cuBLAS reads the variable only once.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def keep_freed_memory() -> None:
    """Make malloc keep freed memory instead of returning it to the system after each training step.

    Peak memory increases by up to a quarter. Without the GNU C library, this function does nothing.
    """
    # The system zeroes each page that it hands out. For the activations of 224-pixel images (50,000 pages and more),
    # this takes 10 to 20 % of the time of a step.
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
