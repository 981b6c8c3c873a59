"""The network of the Food-11 tutorial: four convolutions and two linear layers.

With widths 64, 128, 256, 512 and hidden 1000, at 224 x 224 pixels and 11 classes, it has 26.7 million parameters, as in
the tutorial.
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from semisup.core.layers import FusedSequential, conv_bn_relu
from semisup.errors import SettingError, check_range


@dataclass(frozen=True)
class Cnn:
    """Settings of the Food-11 tutorial's network, explained in `conf/model/cnn.yaml`."""

    widths: list[int]
    hidden: int

    def __post_init__(self) -> None:
        for width in self.widths or [0]:
            check_range("widths", width, 1)
        check_range("hidden", self.hidden, 1)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        min_size = 2 ** (len(self.widths) + 1)
        if size < min_size:
            raise SettingError(
                "dataset.size",
                size,
                f"must be at least {min_size} with model=cnn, which halves the side {len(self.widths) + 1} times",
            )
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise([channels, *self.widths]):
            layers += conv_bn_relu(channels_in, channels_out, halve=True)
        features = self.widths[-1] * (size // min_size) ** 2
        head = [
            nn.Flatten(),
            nn.Linear(features, self.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(self.hidden, num_classes),
        ]
        return FusedSequential(*layers, nn.MaxPool2d(2), *head)
