"""AdamW: decoupled weight decay (arXiv 1711.05101)."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from semisup.core.added_setting import added
from semisup.core.eager_optimizer import without_dynamo
from semisup.errors import check_range
from semisup.optimizer._groups import check_rates, parameter_groups


@dataclass(frozen=True)
class AdamW:
    """Settings of AdamW, explained in `conf/optimizer/adamw.yaml`."""

    lr: float
    weight_decay: float
    decay_norm_and_bias: bool
    layer_decay: float
    head_lr: float | None = field(metadata=added(None))
    beta1: float
    beta2: float
    eps: float

    def __post_init__(self) -> None:
        check_rates(self.lr, self.head_lr, self.layer_decay)
        check_range("weight_decay", self.weight_decay, 0)
        check_range("beta1", self.beta1, 0, 1, below=True)
        check_range("beta2", self.beta2, 0, 1, below=True)
        check_range("eps", self.eps, 0, above=True)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        groups = parameter_groups(
            model,
            self.weight_decay,
            decay_norm_and_bias=self.decay_norm_and_bias,
            layer_decay=self.layer_decay,
            head_scale=1.0 if self.head_lr is None else self.head_lr / self.lr,
        )
        build: Any = without_dynamo(torch.optim.AdamW)
        optimizer: torch.optim.Optimizer = build(
            groups, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True
        )
        return optimizer
