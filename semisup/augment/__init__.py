"""Augmentations: random changes of a batch of images. They map uint8 images to float images in [0, 1].

Each image of the batch has its own random parameters. All random draws of a batch come from one CPU generator that the
caller provides. So a view of step k is the same on every device, in every process and after every interruption. An
augmentation must process a whole batch at a time: Python code that runs once per image fails `tests/test_overhead.py`.
"""

from typing import Protocol

import torch
from torch import Tensor


class Augment(Protocol):
    """Interface of the settings of an augmentation.

    strength: in [0, 1]; 0 = identity, 1 = full strength
    """

    strength: float

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Augment (n, C, S, S) uint8 images.

        Returns:
            (n, C, S, S) float32 in [0, 1], on the same device.
        """
        ...
