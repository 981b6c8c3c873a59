"""A constant learning rate after a linear warmup."""

from dataclasses import dataclass

from semisup.errors import check_range


@dataclass(frozen=True)
class Constant:
    """Settings of the constant schedule.

    warmup: fraction of the training, in [0, 1], in which the learning rate increases linearly from 0
    """

    warmup: float

    def __post_init__(self) -> None:
        check_range("warmup", self.warmup, 0, 1)

    def factor(self, progress: float) -> float:
        return progress / self.warmup if progress < self.warmup else 1.0
