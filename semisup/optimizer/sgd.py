"""Stochastic gradient descent with (Nesterov) momentum."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from semisup.core.eager_optimizer import without_dynamo
from semisup.errors import SettingError, check_range
from semisup.optimizer._groups import parameter_groups


@dataclass(frozen=True)
class SGD:
    """Settings of SGD. Keys: `conf/optimizer/sgd.yaml`."""

    lr: float
    weight_decay: float
    decay_norm_and_bias: bool
    layer_decay: float
    momentum: float
    nesterov: bool

    def __post_init__(self) -> None:
        check_range("lr", self.lr, 0, above=True)
        check_range("weight_decay", self.weight_decay, 0)
        check_range("layer_decay", self.layer_decay, 0, 1, above=True)
        check_range("momentum", self.momentum, 0, 1, below=True)
        if self.nesterov and self.momentum == 0:
            raise SettingError("momentum", 0, "must be above 0 with optimizer.nesterov=true")

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        groups = parameter_groups(
            model, self.weight_decay, decay_norm_and_bias=self.decay_norm_and_bias, layer_decay=self.layer_decay
        )
        build: Any = without_dynamo(torch.optim.SGD)
        optimizer: torch.optim.Optimizer = build(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=True
        )
        return optimizer
