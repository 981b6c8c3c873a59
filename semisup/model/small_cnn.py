"""A convolutional network with global pooling, for small images of any size."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from semisup.core.layers import FusedSequential, conv_bn_relu
from semisup.errors import check_range

SMALLEST_SIDE = 4  # pixels; blocks do not pool below it


@dataclass(frozen=True)
class SmallCnn:
    """Settings of the small convolutional network.

    widths: number of channels of each block; a block halves the side of its input if the new side is at least 4 pixels
    """

    widths: list[int]

    def __post_init__(self) -> None:
        for width in self.widths or [0]:
            check_range("widths", width, 1)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise([channels, *self.widths]):
            halve = size // 2 >= SMALLEST_SIDE
            layers += conv_bn_relu(channels_in, channels_out, halve=halve)
            size //= 2 if halve else 1
        return FusedSequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.widths[-1], num_classes))
