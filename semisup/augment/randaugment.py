"""RandAugment (arXiv 1909.13719) as FixMatch's strong augmentation (2001.07685, section 2.3).

An image gets the weak augmentation (weak.py, same strength), then `n` of 14 operations, drawn with replacement, then
CutOut, a gray square. The magnitude of an operation is uniform between

    neutral + s * (low - neutral)    and    neutral + s * (high - neutral)

where s is the strength in [0, 1]. s = 1 is the full range [low, high], and s = 0 is the identity:

                                            neutral    low      high
    AutoContrast, Equalize                  0          1        1        fraction of the result in the blend
    Brightness, Color, Contrast, Sharpness  1          0.05     0.95     Pillow's enhance factor: 1 = the image, 0 =
                                                                         black, gray, mean gray, 3x3 mean
    Posterize                               8          4        8        bits kept, rounded to integers
    Solarize                                256        0        256      values from this one on are inverted
    Rotate                                  0          -30      30       degrees
    ShearX, ShearY                          0          -0.3     0.3      pixels per pixel
    TranslateX, TranslateY                  0          -0.3     0.3      fraction of the side
    Identity
    CutOut                                  0          0        cutout   side of the square, as a fraction of the
                                                                         image's side

Geometric operations take the nearest pixel and fill with black, as in FixMatch's code. The center of the square is
uniform in the image; the part of the square inside the image is filled with 127/255.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from semisup.augment.weak import WeakAugment
from semisup.core.device import to_device
from semisup.core.image_operations import OPERATIONS, apply_operations, magnitudes
from semisup.core.inference import to_float
from semisup.errors import check_range

GRAY = 127  # fill value of CutOut, as in google-research/fixmatch and kekmodel/FixMatch-pytorch


@dataclass(frozen=True)
class RandAugment:
    """Settings of RandAugment.

    strength: in [0, 1]; 0 = identity
    n: number of operations for each image, at least 0
    cutout: largest side of the gray square at strength 1, as a fraction of the image's side, in [0, 1]
    flip, shift: settings of the weak augmentation (`WeakAugment`), which is applied first
    """

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
        # the views are not continuous in the strength at 0: half of the images are flipped at every strength above 0,
        # a factor just below 1 rounds values down, and a square narrower than a pixel can cover the center of a pixel
        pixels = WeakAugment(self.strength, self.flip, self.shift).augment_uint8(pixels, generator)
        kinds, amount, square = self.draw(len(pixels), generator)
        for slot in range(self.n):
            pixels = apply_operations(pixels, kinds[:, slot], amount[:, slot])
        return to_float(fill_square(pixels, to_device(square, pixels.device)))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw random operations and magnitudes for `count` images, on the CPU.

        Returns:
            (count, n) int64, the operations as indices into OPERATIONS, in the order in which they are applied;
            (count, n) float32, their magnitudes;
            (count, 3) float32 in [0, 1], center (x, y) and side of CutOut's square, as fractions of the image's side.
        """
        kinds = torch.randint(len(OPERATIONS), (count, self.n), generator=generator)
        uniform = torch.rand(count, self.n + 3, generator=generator)
        square = uniform[:, self.n :] * torch.tensor([1, 1, self.strength * self.cutout])
        return kinds, magnitudes(kinds, uniform[:, : self.n], self.strength), square


def fill_square(pixels: Tensor, square: Tensor) -> Tensor:
    """Fill the pixels whose center is in a square with gray, in each image (CutOut, arXiv 1708.04552).

    Args:
        pixels: (n, C, S, S) uint8.
        square: (n, 3) float32, center (x, y) and side as fractions of S, on the same device.

    Returns:
        (n, C, S, S) uint8, a new tensor.
    """
    height, width = pixels.shape[-2:]
    x, y, side = square.view(-1, 3, 1, 1).unbind(1)
    column = (torch.arange(width, device=pixels.device) + 0.5) / width
    row = ((torch.arange(height, device=pixels.device) + 0.5) / height).view(height, 1)
    across, down = ((position - center).abs() < side / 2 for position, center in ((column, x), (row, y)))
    gray = (across.view(torch.uint8) * down.view(torch.uint8)).unsqueeze(1)  # (n, 1, S, S), 1 inside and 0 outside
    return (pixels * (1 - gray)).add_(gray, alpha=GRAY)  # 20 times as fast as masked_fill
