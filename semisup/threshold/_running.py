"""How fast running means move: by the momentum from batch to batch, all the way where the whole pool is asked about."""

import torch
from torch import Tensor

from semisup.core.types import StateDict

POOL = "pool"
"""Name in a policy's memory: () int64, N."""


def pool_size_memory(num_unlabeled: int) -> StateDict:
    return {POOL: torch.tensor(num_unlabeled)}


def update_rate(momentum: float, count: int, memory: StateDict) -> Tensor:
    """() float32: 1 - momentum for a batch of `count` < N images; 1 for the pool, which has its means in itself."""
    return torch.where(memory[POOL] > count, 1 - momentum, 1.0)
