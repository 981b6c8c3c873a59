"""Describe the GPU of a run, its driver and its libraries."""

import contextlib
import ctypes
import platform
import subprocess
import sys
from typing import Any

import torch


def device_name(device: str) -> str:
    """Return the name of a GPU. For the GPU of a Mac (`mps`), this is the name of the chip.

    Args:
        device: `cuda`, `cuda:N` or `mps`.
    """
    return f"MPS, {_chip()}" if device == "mps" else torch.cuda.get_device_name(device)


def libraries(device: str) -> dict[str, Any]:
    """Return name -> version of CUDA and cuDNN or, for the GPU of a Mac (`mps`), of macOS."""
    if device == "mps":
        return {"macos": platform.mac_ver()[0] or None}
    return {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


def driver(device: str) -> dict[str, Any]:
    """Return the result of `libraries` and, for CUDA, the entry `cuda_of_driver`.

    `cuda_of_driver` is the newest CUDA version that the GPU driver supports, as a number such as 12080 for 12.8; None
    if unknown.
    """
    if device == "mps":
        return libraries(device)
    number = ctypes.c_int(0)
    with contextlib.suppress(OSError, AttributeError):
        library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
        ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(number))
    return {"cuda_of_driver": number.value or None} | libraries(device)


def _chip() -> str:
    """Return the name of the chip of a Mac, such as "Apple M3 Pro"."""
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return platform.machine()
