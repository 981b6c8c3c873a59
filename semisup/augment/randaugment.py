"""RandAugment (arXiv 1909.13719) as FixMatch's strong augmentation (2001.07685, section 2.3).

First the weak augmentation (weak.py, same strength); then `n` of 14 operations, drawn with replacement, one after
another; then CutOut, a gray square. Every image has its own draws. An operation's amount is uniform between

    neutral + s (low - neutral)    and    neutral + s (high - neutral)

with s the strength in [0, 1]; s = 1 is the full range [low, high] and s = 0 the identity:

                                            neutral    low      high
    AutoContrast, Equalize                  0          1        1        share of the result in a blend with the image
    Brightness, Color, Contrast, Sharpness  1          .05      .95      Pillow's enhance factor: 1 is the image, 0
                                                                         black, gray, its mean gray, its 3x3 means
    Posterize                               8          4        8        bits kept, rounded to whole ones
    Solarize                                256        0        256      values from here on are inverted
    Rotate                                  0          -30      30       degrees
    ShearX, ShearY                          0          -.3      .3       pixels per pixel
    TranslateX, TranslateY                  0          -.3      .3       share of the side
    Identity
    CutOut                                  0          0        cutout   side of the square, as a share of the image's

So at s = .5 factors are .525-.975, bits 6-8, thresholds 128-256, angles +-15. A factor just below 1 already rounds
values down by 1/255, and that is the largest step from s = 0 to the smallest s above it. Warps take the nearest pixel
and fill with black, as Pillow does by default and FixMatch's code with it. The square's center is uniform in the
image, what lies outside of it is cut off, and it is filled with 127/255.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semisup.augment.weak import WeakAugment
from semisup.core.device import to_device
from semisup.core.image_operations import OPERATIONS, apply_operations, magnitudes
from semisup.core.inference import to_float
from semisup.errors import check_range

GRAY = 127  # CutOut's, as in google-research/fixmatch and kekmodel/FixMatch-pytorch


@dataclass(frozen=True)
class RandAugment:
    """`strength` and `cutout` in [0, 1]; `n` >= 0 operations; `flip` and `shift` are the weak augmentation's."""

    strength: float
    n: int
    cutout: float
    flip: bool
    shift: float

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0, 1)
        check_range("n", self.n, 0)
        check_range("cutout", self.cutout, 0, 1)
        check_range("shift", self.shift, 0, 0.5)

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        if self.strength == 0:
            return to_float(pixels)
        pixels = WeakAugment(self.strength, self.flip, self.shift).move(pixels, generator)
        kinds, amount, square = self.draw(len(pixels), generator)
        for slot in range(self.n):
            pixels = apply_operations(pixels, kinds[:, slot], amount[:, slot])
        return to_float(cut_out(pixels, to_device(square, pixels.device)))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """What is done to `count` images, drawn on the CPU.

        Returns:
            (count, n) int64, operations, in order, as places in OPERATIONS; (count, n) float32, their amounts;
            (count, 3) float32 in [0, 1], CutOut's center (x, y) and side as shares of the image's side.
        """
        kinds = torch.randint(len(OPERATIONS), (count, self.n), generator=generator)
        uniform = torch.rand(count, self.n + 3, generator=generator)
        square = uniform[:, self.n :] * torch.tensor([1, 1, self.strength * self.cutout])
        return kinds, magnitudes(kinds, uniform[:, : self.n], self.strength), square


def cut_out(pixels: Tensor, square: Tensor) -> Tensor:
    """Gray where a pixel's center lies in the image's square.

    Args:
        pixels: (n, C, S, S) uint8.
        square: (n, 3) float32, center (x, y) and side as shares of S, on the same device.

    Returns:
        (n, C, S, S) uint8, new.
    """
    height, width = pixels.shape[-2:]
    x, y, side = square.view(-1, 3, 1, 1).unbind(1)
    column = (torch.arange(width, device=pixels.device) + 0.5) / width
    row = ((torch.arange(height, device=pixels.device) + 0.5) / height).view(height, 1)
    across, down = ((position - center).abs() < side / 2 for position, center in ((column, x), (row, y)))
    gray = (across.view(torch.uint8) * down.view(torch.uint8)).unsqueeze(1)  # (n, 1, S, S), 1 inside and 0 outside
    return (pixels * (1 - gray)).add_(gray, alpha=GRAY)  # 20 times as fast as to fill by a mask
