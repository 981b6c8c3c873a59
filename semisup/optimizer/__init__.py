"""Optimizers: settings that build torch's own, in their fused form."""

from typing import Protocol

import torch
from torch import nn


class OptimizerSettings(Protocol):
    """What every optimizer's settings do."""

    lr: float

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """An optimizer of all of the model's parameters.

        Every group of it has an `lr_scale`, by which its learning rate is multiplied at every step; 1 in the largest.
        """
        ...
