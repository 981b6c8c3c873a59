"""How fast running means move: by the momentum from batch to batch, all the way where the whole pool is asked about."""

import torch
from torch import Tensor

from semisup.core.types import Memory

POOL = "pool"
"""Name in a policy's memory: () int64, N."""


def pool_of(num_unlabeled: int) -> Memory:
    return {POOL: torch.tensor(num_unlabeled)}


def pace(momentum: float, count: int, memory: Memory) -> Tensor:
    """() float32: 1 - momentum for a batch of `count` < N images; 1 for the pool, which has its means in itself."""
    return torch.where(memory[POOL] > count, 1 - momentum, 1.0)
