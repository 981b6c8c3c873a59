"""Optimizers: settings that build the fused optimizers of torch."""

from typing import Protocol

import torch
from torch import nn


class OptimizerSettings(Protocol):
    """Interface of the settings of an optimizer."""

    lr: float

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """Build an optimizer of all parameters of a model that are trained.

        Every parameter group has an entry `lr_scale` above 0, which multiplies its learning rate at every step.
        """
        ...
