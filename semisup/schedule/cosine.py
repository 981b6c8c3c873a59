"""A linear warmup, then half a period of a cosine (arXiv 1608.03983, without restarts)."""

import math
from dataclasses import dataclass

from semisup.errors import check_range


@dataclass(frozen=True)
class Cosine:
    """Settings of the cosine schedule.

    warmup: fraction of the training, in [0, 1], in which the learning rate increases linearly from 0
    final: factor of the learning rate at the end of the training, in [0, 1]
    """

    warmup: float
    final: float

    def __post_init__(self) -> None:
        check_range("warmup", self.warmup, 0, 1)
        check_range("final", self.final, 0, 1)

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        decay = (progress - self.warmup) / max(1 - self.warmup, 1e-12)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * min(decay, 1.0))) / 2
