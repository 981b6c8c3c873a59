"""FixMatch's weak augmentation (arXiv 2001.07685, section 2.3): random horizontal flip and translation.

With strength s in [0, 1] and an image of side S in pixels:

    horizontal flip     with probability 1/2 if `flip` is set and s > 0
    translation         by an integer, uniform in [-p, p] pixels in each direction, p = floor(s * shift * S)

Borders are filled by reflect padding. s = 1 with shift 1/8 is FixMatch's random crop with reflect padding of 1/8 of the
side; s = 0 is the identity.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.image_warp import flip_and_translate
from semisup.core.inference import to_float
from semisup.errors import check_range


@dataclass(frozen=True)
class WeakAugment:
    """Settings of the weak augmentation.

    strength: in [0, 1]; 0 = identity
    flip: whether to flip half of the images; only useful if a flip preserves the class
    shift: largest translation at strength 1, as a fraction of the side, in [0, 0.5]
    """

    strength: float
    flip: bool
    shift: float

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0, 1)
        check_range("shift", self.shift, 0, 0.5)

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        return to_float(self.augment_uint8(pixels, generator))

    def augment_uint8(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Augment (n, C, S, S) uint8 images and return uint8 images."""
        if self.strength == 0 or len(pixels) == 0:
            return pixels
        flipped, shift = self.draw(len(pixels), pixels.shape[-1], generator)
        flipped, shift = (to_device(each, pixels.device) for each in (flipped, shift))
        return flip_and_translate(pixels, flipped, shift, self.max_shift(pixels.shape[-1]))

    def draw(self, count: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw random flips and translations for `count` images, on the CPU.

        Args:
            side: side of the images in pixels.

        Returns:
            (count,) bool, whether to flip; (count, 2) int64, the translation in pixels (columns, rows).
        """
        uniform = torch.rand(count, 3, generator=generator)
        max_shift = self.max_shift(side)
        return (uniform[:, 0] < 0.5) & self.flip, (uniform[:, 1:] * (2 * max_shift + 1)).long() - max_shift

    def max_shift(self, side: int) -> int:
        """Return the largest translation in pixels, for images with this side."""
        return int(self.strength * self.shift * side)
