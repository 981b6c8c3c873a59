"""Learning-rate schedules: they map the progress of the training to a factor of the learning rate."""

from typing import Protocol


class Schedule(Protocol):
    """Interface of the settings of a learning-rate schedule."""

    def factor(self, progress: float) -> float:
        """Return the factor of the learning rate, in [0, 1].

        Args:
            progress: completed fraction of the training, in [0, 1].
        """
        ...
