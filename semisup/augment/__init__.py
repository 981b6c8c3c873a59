"""Augmentations: a batch of uint8 images in, float images in [0, 1] out, own parameters for every image.

All draws of a batch come from one CPU generator that the caller names, so a view of step k is the same
on every device, in every process, and after every interruption.
"""

from typing import Protocol

import torch
from torch import Tensor


class Augment(Protocol):
    """What every augmentation does. `strength` in [0, 1]: 0 changes nothing, 1 is full strength."""

    strength: float

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """(n, C, S, S) uint8 -> (n, C, S, S) float32 in [0, 1], on the same device."""
        ...
