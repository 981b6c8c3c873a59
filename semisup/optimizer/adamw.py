"""AdamW: decoupled weight decay (arXiv 1711.05101)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from semisup.core.eager_optimizer import without_dynamo
from semisup.errors import check_range
from semisup.optimizer._groups import Grouped


@dataclass(frozen=True)
class AdamW(Grouped):
    """Settings of AdamW, explained in `conf/optimizer/adamw.yaml`."""

    beta1: float
    beta2: float
    eps: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("beta1", self.beta1, 0, 1, below=True)
        check_range("beta2", self.beta2, 0, 1, below=True)
        check_range("eps", self.eps, 0, above=True)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        build: Any = without_dynamo(torch.optim.AdamW)
        optimizer: torch.optim.Optimizer = build(
            self.groups(model), lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True
        )
        return optimizer
