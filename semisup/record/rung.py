"""Rungs of successive halving: points of a training at which runs are compared by their metrics.jsonl.

A rung is a share of the full training, such as 0.1. A run has reached it with its first evaluation at or after this
share. The training is the full-length one, stopped at the rung, because the schedules of the learning rate and of the
labels depend on its length.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]


class RungScore:
    """Read the evaluations of a run up to a rung, one row of metrics.jsonl after another.

    Args:
        train: the section `train` of the run's config.
        share: position of the rung, as a share of the training in (0, 1).
    """

    def __init__(self, train: Mapping[str, Any], share: float) -> None:
        self.length_key, length = ("step", train["steps"]) if train["steps"] is not None else ("epoch", train["epochs"])
        self.position = share * length
        self.metric = f"val/{train['select_by']}"
        self.step: int | None = None
        """Step of the first evaluation at or after the rung; None until then."""
        self.best: float | None = None
        """Best value of the metric of `train.select_by` until the rung; None before the first evaluation."""

    @property
    def reached(self) -> bool:
        return self.step is not None

    @property
    def score(self) -> float | None:
        """The best value of the metric, with the sign with which a higher value is better."""
        return None if self.best is None else self.best if self.metric != "val/loss" else -self.best

    def add(self, rows: Iterable[Row]) -> "RungScore":
        """Read further rows; rows after the rung change nothing."""
        for row in rows:
            value = row.get(self.metric)
            if self.reached or value is None:
                continue
            choose = min if self.metric == "val/loss" else max
            self.best = value if self.best is None else choose(self.best, value)
            if row[self.length_key] >= self.position:
                self.step = row["step"]
        return self
