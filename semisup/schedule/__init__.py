"""Learning-rate schedules: the factor of the learning rate as a function of training progress."""

from typing import Protocol


class Schedule(Protocol):
    """The settings of one schedule."""

    def factor(self, progress: float) -> float:
        """Return the factor of the learning rate, in [0, 1], at `progress` in [0, 1]."""
        ...
