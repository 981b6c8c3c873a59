"""The option `augment=none`: images are not augmented."""

from dataclasses import dataclass

import torch
from torch import Tensor

from semisup.core.inference import to_float
from semisup.errors import check_range


@dataclass(frozen=True)
class NoAugmentation:
    """Settings of `augment=none`, which leaves images unchanged; `strength` must be 0."""

    strength: float

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0, 0)

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        return to_float(pixels)
