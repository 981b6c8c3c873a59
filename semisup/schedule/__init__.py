"""Learning-rate schedules: a factor of the learning rate that depends on the progress of the training."""

from typing import Protocol


class Schedule(Protocol):
    """Interface of the settings of a schedule."""

    def factor(self, progress: float) -> float:
        """Return the factor of the learning rate, in [0, 1], at `progress` in [0, 1]."""
        ...
