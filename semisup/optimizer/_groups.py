"""Parameter groups: parameters that share a learning rate and a weight decay.

    learning rate of block d = lr * layer_decay^(D - d), d = 0 (input) to D (output)     as in BEiT, arXiv 2106.08254
    learning rate of the head (classifier layers) = head_lr; if head_lr is null, the learning rate of its block

Class tokens, position embeddings and the other parameters that a timm network lists in `no_weight_decay()` have no
weight decay, as in timm.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn import Parameter

from semisup.core.added_setting import added
from semisup.core.layer_depth import head_parameters, layer_depths
from semisup.errors import SettingError, check_range

EMBEDDINGS = ("class_token", "pos_embedding", "relative_position_bias_table")
"""Parameters of torchvision's networks without weight decay, as in torchvision's reference training."""


@dataclass(frozen=True)
class Grouped:
    """Base class with the settings of learning rates and weight decay, which all optimizers have.

    decay_norm_and_bias: False = no weight decay on parameters of one dimension (biases, normalization layers)
    layer_decay: in (0, 1], learning rate of a block divided by that of the next block; 1 = the same for all
    head_lr: learning rate of the classifier layers; None = that of the block that contains them
    """

    lr: float
    weight_decay: float
    decay_norm_and_bias: bool
    layer_decay: float
    head_lr: float | None = field(metadata=added(None))

    def __post_init__(self) -> None:
        check_range("lr", self.lr, 0, above=True)
        check_range("head_lr", self.head_lr, 0, above=True)
        check_range("layer_decay", self.layer_decay, 0, 1, above=True)
        check_range("weight_decay", self.weight_decay, 0)

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Divide the trained parameters of a model into groups for a torch optimizer.

        Each group has an entry `lr_scale`, above 0: the factor of its learning rate.

        Raises:
            SettingError: layer_decay is below 1, but the layers of the network are not divided into blocks.
        """
        scale = dict.fromkeys(model.parameters(), 1.0)
        if self.layer_decay < 1:
            if (depth := layer_depths(model)) is None:
                raise SettingError(
                    "optimizer.layer_decay",
                    self.layer_decay,
                    "must be 1 for this architecture, which timm does not divide into blocks",
                )
            last = max(depth.values())
            scale = {parameter: self.layer_decay ** (last - depth[parameter]) for parameter in scale}
        if self.head_lr is not None and self.head_lr != self.lr:
            scale |= dict.fromkeys(head_parameters(model), self.head_lr / self.lr)
        never = _undecayed(model)
        groups: dict[tuple[float, float], list[Parameter]] = {}
        for parameter in model.parameters():
            if parameter.requires_grad:
                decayed = parameter not in never and (self.decay_norm_and_bias or parameter.ndim > 1)
                decay = self.weight_decay if decayed else 0.0
                groups.setdefault((scale[parameter], decay), []).append(parameter)
        return [{"params": each, "lr_scale": factor, "weight_decay": decay} for (factor, decay), each in groups.items()]


def _undecayed(model: nn.Module) -> set[Parameter]:
    """Return the parameters that must not have weight decay according to timm or torchvision, such as class tokens."""
    named = dict(model.named_parameters())
    parameters = {each for name, each in named.items() if name.rpartition(".")[2] in EMBEDDINGS}
    timm = next((module for module in model.modules() if callable(getattr(module, "no_weight_decay", None))), None)
    if timm is None:
        return parameters
    method: Any = timm.no_weight_decay
    patterns: Iterable[str] = method()  # names, or patterns such as *.bias_table
    own = dict(timm.named_parameters())
    return parameters | {own[name] for name in own for pattern in patterns if fnmatchcase(name, pattern)}
