"""Transfer tensors to a device, and choose the precision of sums on the device.

The device `mps` (the GPU of a Mac) has no float64. There, sums over an epoch are float32, and values that need full
precision are computed on the CPU.
"""

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy `values` to `device`.

    A copy from CPU to a CUDA device is asynchronous, through pinned memory.
    """
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype for sums over many values on a device: float64, or float32 on mps."""
    return torch.float32 if device.type == "mps" else torch.float64


def place(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to `device`; float64 becomes float32 on mps, which has no float64."""
    if values.dtype == torch.float64:
        values = values.to(sum_dtype(device))
    return values.to(device)


def exact(values: Tensor) -> Tensor:
    """Convert a tensor to float64: on the CPU if `values` is on mps, else on the device of `values`."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def seed_mps(seed: int) -> None:
    """Seed the random generator of mps (the GPU of a Mac); do nothing on other machines."""
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
