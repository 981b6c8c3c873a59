"""Stochastic gradient descent with (Nesterov) momentum."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from semisup.core.eager_optimizer import without_dynamo
from semisup.errors import SettingError, check_range
from semisup.optimizer._groups import Grouped


@dataclass(frozen=True)
class SGD(Grouped):
    """Settings of SGD, explained in `conf/optimizer/sgd.yaml`."""

    momentum: float
    nesterov: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("momentum", self.momentum, 0, 1, below=True)
        if self.nesterov and self.momentum == 0:
            raise SettingError("momentum", 0, "must be above 0 with optimizer.nesterov=true")

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        build: Any = without_dynamo(torch.optim.SGD)
        optimizer: torch.optim.Optimizer = build(
            self.groups(model), lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=True
        )
        return optimizer
