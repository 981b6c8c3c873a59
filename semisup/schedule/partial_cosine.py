"""A linear warmup, then the first part of a cosine: FixMatch's schedule (arXiv 2001.07685, section 2.4).

    factor = cos(pi * h * t)        t = progress after the warmup, in [0, 1]; h = number of half periods

With h = 7/16, as in FixMatch, the factor is 0.195 at the end.
"""

import math
from dataclasses import dataclass

from semisup.errors import check_range


@dataclass(frozen=True)
class PartialCosine:
    """Settings of the partial cosine schedule.

    warmup: fraction of the training, in [0, 1], in which the learning rate increases linearly from 0
    half_periods: number of half periods of the cosine after the warmup, in [0, 0.5]
    """

    warmup: float
    half_periods: float

    def __post_init__(self) -> None:
        check_range("warmup", self.warmup, 0, 1)
        check_range("half_periods", self.half_periods, 0, 0.5)

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        decay = (progress - self.warmup) / max(1 - self.warmup, 1e-12)
        return math.cos(math.pi * self.half_periods * min(decay, 1.0))
