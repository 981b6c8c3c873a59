"""Transfer tensors to the device of a run, and choose the precision of sums on it.

`mps`, the GPU of a Mac, has no float64. Sums over an epoch are float32 there, and values of which every digit counts
are computed on the CPU.
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
    """Return the type of sums over many values on a device: float64, or float32 on mps."""
    return torch.float32 if device.type == "mps" else torch.float64


def place(values: Tensor, device: torch.device) -> Tensor:
    """Copy a value of the state of a run to `device`; on mps, float64 becomes float32."""
    if values.dtype == torch.float64:
        values = values.to(sum_dtype(device))
    return values.to(device)


def exact(values: Tensor) -> Tensor:
    """Convert to float64, on the device of `values` or, if that is mps, on the CPU."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def seed_mps(seed: int) -> None:
    """Seed the generator of mps, where there is one; `core/rng.py` seeds those of the other devices."""
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
