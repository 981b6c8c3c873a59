"""The augmentation of the Food-11 tutorial: torchvision's RandomResizedCrop, then RandomRotation.

With strength s in [0, 1] and the settings scale_min, ratio_max and degrees:

    area of the crop / area of the image    uniform in [1 - s * (1 - scale_min), 1]
    width of the crop / its height          log-uniform in [ratio_max^-s, ratio_max^s]
    rotation in degrees                     uniform in [-s * degrees, s * degrees]

s = 1 with scale_min 0.08, ratio_max 4/3 and degrees 50 is the tutorial's RandomResizedCrop(scale=(0.08, 1), ratio=(3/4,
4/3)) and RandomRotation(50); s = 0 is the identity. Ten crops are drawn, and the first one inside the image is used; if
there is none, the whole image is used. In torchvision, crops are rounded to whole pixels and resampled before the
rotation; here, they are not rounded, and crop and rotation are one bilinear resampling.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.image_warp import crop_and_rotate
from semisup.core.inference import to_float
from semisup.errors import check_range

TRIES = 10  # as torchvision


@dataclass(frozen=True)
class CropRotate:
    """Settings of the augmentation by random crop and rotation.

    strength: in [0, 1]; 0 = identity
    scale_min: smallest area of the crop at strength 1, as a fraction of the image, in (0, 1]
    ratio_max: largest width / height of the crop at strength 1, at least 1
    degrees: largest angle of the rotation at strength 1, in [0, 180]
    """

    strength: float
    scale_min: float
    ratio_max: float
    degrees: float

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0, 1)
        check_range("scale_min", self.scale_min, 0, 1, above=True)
        check_range("ratio_max", self.ratio_max, 1)
        check_range("degrees", self.degrees, 0, 180)

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        images = to_float(pixels)
        if self.strength == 0:
            return images
        box, degrees = self.draw(len(pixels), generator)
        box, degrees = (to_device(each, pixels.device) for each in (box, degrees))
        return crop_and_rotate(images, box, degrees)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw random crops and rotation angles for `count` images, on the CPU.

        Returns:
            (count, 4) boxes (left, top, width, height), as fractions of the side; (count,) degrees.
        """
        uniform = torch.rand(count, 2 * TRIES + 3, generator=generator)
        area = 1 - self.strength * (1 - self.scale_min) * uniform[:, :TRIES]
        ratio = torch.exp((2 * uniform[:, TRIES : 2 * TRIES] - 1) * self.strength * math.log(self.ratio_max))
        width, height = (area * ratio).sqrt(), (area / ratio).sqrt()  # (count, TRIES)
        fits = (width <= 1) & (height <= 1)
        first = fits.int().argmax(1, keepdim=True)  # 0 if none fits
        width, height, fits = (each.gather(1, first).squeeze(1) for each in (width, height, fits))
        width, height = width.where(fits, torch.ones(())), height.where(fits, torch.ones(()))
        position, turn = uniform[:, -3:-1], uniform[:, -1]
        left = torch.where(fits, position[:, 0], 0.5) * (1 - width)
        top = torch.where(fits, position[:, 1], 0.5) * (1 - height)
        return torch.stack((left, top, width, height), 1), (2 * turn - 1) * self.strength * self.degrees
