"""Augmentations: random changes of a batch of images. They map uint8 images to float images in [0, 1].

All random numbers of a batch are drawn from one CPU generator, so an augmented image is the same on every device. An
augmentation must process a whole batch at a time, without a loop over images.
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
        """Augment (n, C, S, S) uint8 images, each with its own random parameters.

        Args:
            generator: source of the random numbers, on the CPU.

        Returns:
            (n, C, S, S) float32 in [0, 1], on the same device.
        """
        ...
