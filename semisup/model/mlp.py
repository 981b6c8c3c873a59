"""A classifier with hidden layers on features of unit length, or on pixels."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import nn

from semisup.errors import check_range
from semisup.model.linear import UnitLength


@dataclass(frozen=True)
class Mlp:
    """Settings of a multilayer perceptron with ReLU.

    scale: length to which the features are scaled, above 0
    widths: number of units of each hidden layer
    dropout: probability of dropout after each hidden layer, in [0, 1)
    """

    scale: float
    widths: list[int]
    dropout: float

    takes_features: ClassVar[bool] = True
    scales_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0, above=True)
        check_range("dropout", self.dropout, 0, 1, below=True)
        for width in self.widths or [0]:
            check_range("widths", width, 1)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        widths = [channels * size**2, *self.widths]
        layers: list[nn.Module] = [UnitLength(self.scale)]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True), nn.Dropout(self.dropout)]
        return nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))
