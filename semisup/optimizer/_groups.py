"""Parameter groups: parameters that share a learning rate and a weight decay.

lr of a block at depth d of D = lr layer_decay^(D - d)        BEiT, arXiv 2106.08254; the head has the full rate
"""

from typing import Any

from torch import nn
from torch.nn import Parameter

from semisup.core.layer_depth import layer_depths


def parameter_groups(
    model: nn.Module, weight_decay: float, *, decay_norm_and_bias: bool, layer_decay: float
) -> list[dict[str, Any]]:
    """Divide the parameters of a model into groups for a torch optimizer.

    Each group has `lr_scale` in (0, 1], which the trainer multiplies the learning rate with at every step, and which
    is saved with the state of the optimizer.

    Args:
        decay_norm_and_bias: False = no weight decay on parameters of one dimension (biases, normalization layers).
        layer_decay: in (0, 1], ratio of the learning rates of a block and the next one; 1 = the same for all.
    """
    depth = layer_depths(model)
    last = max(depth.values())
    groups: dict[tuple[float, float], list[Parameter]] = {}
    for parameter in model.parameters():
        decay = weight_decay if decay_norm_and_bias or parameter.ndim > 1 else 0.0
        groups.setdefault((layer_decay ** (last - depth[parameter]), decay), []).append(parameter)
    return [{"params": each, "lr_scale": scale, "weight_decay": decay} for (scale, decay), each in groups.items()]
