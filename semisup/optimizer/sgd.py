"""Stochastic gradient descent with (Nesterov) momentum."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from semisup.core.added_setting import added
from semisup.core.eager_optimizer import without_dynamo
from semisup.errors import SettingError, check_range
from semisup.optimizer._groups import check_rates, parameter_groups


@dataclass(frozen=True)
class SGD:
    """Settings of SGD, explained in `conf/optimizer/sgd.yaml`."""

    lr: float
    weight_decay: float
    decay_norm_and_bias: bool
    layer_decay: float
    head_lr: float | None = field(metadata=added(None))
    momentum: float
    nesterov: bool

    def __post_init__(self) -> None:
        check_rates(self.lr, self.head_lr, self.layer_decay)
        check_range("weight_decay", self.weight_decay, 0)
        check_range("momentum", self.momentum, 0, 1, below=True)
        if self.nesterov and self.momentum == 0:
            raise SettingError("momentum", 0, "must be above 0 with optimizer.nesterov=true")

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        groups = parameter_groups(
            model,
            self.weight_decay,
            decay_norm_and_bias=self.decay_norm_and_bias,
            layer_decay=self.layer_decay,
            head_scale=1.0 if self.head_lr is None else self.head_lr / self.lr,
        )
        build: Any = without_dynamo(torch.optim.SGD)
        optimizer: torch.optim.Optimizer = build(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=True
        )
        return optimizer
