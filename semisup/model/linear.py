"""A linear classifier on features of unit length, or on pixels.

    logits = W (s * x / |x|) + b

x are the features (or pixels) of an image, and s is the setting `scale`. W and b are trained and start at 0. The scale
increases the confidence: with s = 1, the confidence does not reach a usual threshold in a few hundred steps.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import normalize

from semisup.errors import check_range


@dataclass(frozen=True)
class Linear:
    """Settings of the linear classifier.

    scale: length to which the features are scaled, s in the formula at the top of this module, above 0
    """

    scale: float

    takes_features: ClassVar[bool] = True
    scales_input: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0, above=True)

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        layer = nn.Linear(channels * size**2, num_classes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return nn.Sequential(UnitLength(self.scale), layer)


class UnitLength(nn.Module):
    """Layer that flattens the values of each image and scales them to Euclidean length `length`.

    It maps (n, C, S, S) and (n, D) to (n, D). Input of shape (n, D, 1) is not scaled: the third dimension marks
    features that were scaled once before the training, by `scale_rows`.
    """

    def __init__(self, length: float) -> None:
        super().__init__()
        self.length = length

    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten(1)
        return rows if images.ndim == 3 else scale_rows(rows, self.length)


def scale_rows(rows: Tensor, length: float) -> Tensor:
    """Scale each row of (n, D) values to the Euclidean length `length`, independently of the other rows."""
    return normalize(rows, dim=1) * length
