"""Linear warmup, then half a cosine period (arXiv 1608.03983, without restarts)."""

import math
from dataclasses import dataclass

from semisup.errors import check_range


@dataclass(frozen=True)
class Cosine:
    """`warmup`: fraction of the training over which the rate rises from 0; `final`: last factor; both in [0, 1]."""

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
