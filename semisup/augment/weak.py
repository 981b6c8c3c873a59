"""FixMatch's weak augmentation (arXiv 2001.07685, section 2.3): a mirror image half of the time, and a shifted crop.

With strength s in [0, 1] and an image of side S in pixels:

    mirrored left and right    with probability 1/2 where `flip` is on and s > 0
    shifted, both ways         by a whole number of pixels, each from -p to p as likely, p = floor(s shift S)

What the shift brings in is the image reflected at its border. s = 1 with shift 1/8 is FixMatch's random crop with
reflect padding of 1/8; s = 0 is the identity.
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
    """`strength` in [0, 1]; `shift` in [0, 0.5], a share of the side; `flip` only where it keeps an image's class."""

    strength: float
    flip: bool
    shift: float

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0, 1)
        check_range("shift", self.shift, 0, 0.5)

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        return to_float(self.move(pixels, generator))

    def move(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """The same before it is made float: (n, C, S, S) uint8 -> (n, C, S, S) uint8."""
        if self.strength == 0 or len(pixels) == 0:
            return pixels
        mirrored, shift = self.draw(len(pixels), pixels.shape[-1], generator)
        mirrored, shift = (to_device(each, pixels.device) for each in (mirrored, shift))
        return flip_and_translate(pixels, mirrored, shift, self.most(pixels.shape[-1]))

    def draw(self, count: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(count,) bool, mirrored or not, and (count, 2) int64, pixels; on the CPU."""
        uniform = torch.rand(count, 3, generator=generator)
        most = self.most(side)
        return (uniform[:, 0] < 0.5) & self.flip, (uniform[:, 1:] * (2 * most + 1)).long() - most

    def most(self, side: int) -> int:
        """Pixels of the largest shift."""
        return int(self.strength * self.shift * side)
