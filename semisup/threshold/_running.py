"""Compute the update rate of the running means of threshold policies.

With update rate r, a running mean m becomes (1 - r) * m + r * (mean over the images of this call of the policy).
"""

import torch
from torch import Tensor

from semisup.core.types import StateDict

SIZE = "pool"
"""Name of the tensor with the number N of unlabeled images, () int64, in a policy's memory."""


def pool_size_memory(num_unlabeled: int) -> StateDict:
    """Build the entry of a policy's memory that stores the number of unlabeled images."""
    return {SIZE: torch.tensor(num_unlabeled)}


def update_rate(momentum: float, count: int, memory: StateDict) -> Tensor:
    """Compute the update rate of a running mean, () float32.

    Args:
        momentum: weight of the old mean, in [0, 1).
        count: number of images in this call of the policy.
        memory: the policy's memory, with the entry of `pool_size_memory`, the number N of unlabeled images.

    Returns:
        1 - momentum for a batch (count < N); 1 for the whole unlabeled set (count >= N).
    """
    return torch.where(memory[SIZE] > count, 1 - momentum, 1.0)
