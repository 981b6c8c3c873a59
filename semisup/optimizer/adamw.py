"""AdamW: decoupled weight decay (arXiv 1711.05101)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from semisup.core.eager_optimizer import without_dynamo
from semisup.errors import check_range
from semisup.optimizer._groups import parameter_groups


@dataclass(frozen=True)
class AdamW:
    """Settings of AdamW. Keys: `conf/optimizer/adamw.yaml`."""

    lr: float
    weight_decay: float
    decay_norm_and_bias: bool
    layer_decay: float
    beta1: float
    beta2: float
    eps: float

    def __post_init__(self) -> None:
        check_range("lr", self.lr, 0, above=True)
        check_range("weight_decay", self.weight_decay, 0)
        check_range("layer_decay", self.layer_decay, 0, 1, above=True)
        check_range("beta1", self.beta1, 0, 1, below=True)
        check_range("beta2", self.beta2, 0, 1, below=True)
        check_range("eps", self.eps, 0, above=True)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        groups = parameter_groups(
            model, self.weight_decay, decay_norm_and_bias=self.decay_norm_and_bias, layer_decay=self.layer_decay
        )
        build: Any = without_dynamo(torch.optim.AdamW)
        optimizer: torch.optim.Optimizer = build(
            groups, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True
        )
        return optimizer
