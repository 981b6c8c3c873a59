"""Optimizers: settings from which a fused optimizer of torch is built."""

from typing import Protocol

import torch
from torch import nn


class OptimizerSettings(Protocol):
    """Interface of the settings of an optimizer."""

    lr: float

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """Build an optimizer for all parameters of a model that are not frozen.

        Every parameter group has an entry `lr_scale`, above 0. At every step, the training loop multiplies the learning
        rate of the group by it.
        """
        ...
