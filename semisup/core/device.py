"""Transfer tensors from CPU memory to the device without waiting for the device."""

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy `values` to `device`; a copy from CPU to GPU is asynchronous, through pinned memory."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
