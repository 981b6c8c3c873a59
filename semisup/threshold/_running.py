"""Compute the update rate of the running means of threshold policies.

It is 1 - momentum for a batch, and 1 for the whole unlabeled set, whose mean is exact.
"""

import torch
from torch import Tensor

from semisup.core.types import StateDict

SIZE = "pool"
"""Name of N, () int64, in a policy's memory."""


def pool_size_memory(num_unlabeled: int) -> StateDict:
    """Build the part of a policy's memory that holds N, the number of unlabeled images."""
    return {SIZE: torch.tensor(num_unlabeled)}


def update_rate(momentum: float, count: int, memory: StateDict) -> Tensor:
    """Compute the update rate of running means for `count` images, () float32.

    It is 1 - momentum if count < N, and otherwise 1, which gives the mean of these images.
    """
    return torch.where(memory[SIZE] > count, 1 - momentum, 1.0)
