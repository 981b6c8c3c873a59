"""Which parameters share a learning rate and a weight decay.

lr of a block at depth d of D = lr layer_decay^(D - d)        BEiT, arXiv 2106.08254: the head 1, the stem least
"""

from typing import Any

from torch import nn
from torch.nn import Parameter

from semisup.core.layer_depth import layer_depths


def parameter_groups(
    model: nn.Module, weight_decay: float, *, decay_norm_and_bias: bool, layer_decay: float
) -> list[dict[str, Any]]:
    """Groups for a torch optimizer; one, if nothing tells parameters apart.

    Each holds `lr_scale` in (0, 1], by which the trainer multiplies the learning rate of every step, and which a
    checkpoint of the optimizer keeps.

    Args:
        decay_norm_and_bias: False = no weight decay on parameters of one dimension: biases and what norms learn.
        layer_decay: in (0, 1], of the learning rate from one block to the one before it; 1 = the same for all.
    """
    depth = layer_depths(model)
    last = max(depth.values())
    groups: dict[tuple[float, float], list[Parameter]] = {}
    for parameter in model.parameters():
        decay = weight_decay if decay_norm_and_bias or parameter.ndim > 1 else 0.0
        groups.setdefault((layer_decay ** (last - depth[parameter]), decay), []).append(parameter)
    return [{"params": each, "lr_scale": scale, "weight_decay": decay} for (scale, decay), each in groups.items()]
