"""Rungs: points of a training at which successive halving compares runs and stops the worse ones.

A rung is a fraction of the full training, such as 0.1. A run has reached a rung at its first evaluation at or after
this fraction of its steps or epochs. Runs are compared by their best evaluation until then. Only evaluations that
are due by `train.evaluate_every` or `train.evaluate_every_steps` count. Some methods also evaluate before they label
the unlabeled set; these evaluations cannot select the best model, so they are ignored.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]


def selection_metric(select_by: str) -> tuple[str, int]:
    """Return the name of the validation metric that `train.select_by` selects, and whether higher values are better.

    Args:
        select_by: value of `train.select_by`, such as accuracy.

    Returns:
        (metric, sign). metric: such as val/accuracy. sign: 1 if higher values are better; -1 for the loss.
    """
    return f"val/{select_by}", -1 if select_by == "loss" else 1


class RungScore:
    """Reader of the evaluations of a run up to a rung, the point of the training at which runs are compared.

    Args:
        train: the section `train` of the run's config.
        share: position of the rung as a fraction of the training, in (0, 1).
    """

    def __init__(self, train: Mapping[str, Any], share: float) -> None:
        self.length_key, length = ("step", train["steps"]) if train["steps"] is not None else ("epoch", train["epochs"])
        self.position, self.length = round(share * length, 9), length  # 0.55 * 100 is slightly above 55
        every_steps = train["evaluate_every_steps"]
        self.every = ("epoch", train["evaluate_every"]) if every_steps is None else ("step", every_steps)
        self.metric, self.sign = selection_metric(train["select_by"])
        self.step: int | None = None
        """Step of the first evaluation at or after the rung; None until then."""
        self.best: float | None = None
        """Best value of the metric of `train.select_by` until the rung; None before the first evaluation."""

    @property
    def reached(self) -> bool:
        return self.step is not None

    @property
    def score(self) -> float | None:
        """Best value so far of the metric that `train.select_by` selects; for the loss, its negative value."""
        return None if self.best is None else self.sign * self.best

    def add(self, rows: Iterable[Row]) -> "RungScore":
        """Read further rows of metrics.jsonl.

        Rows after the first evaluation at or after the rung are ignored (see the top of this module).

        Returns:
            this object.
        """
        for row in rows:
            value = row.get(self.metric)
            if self.reached or value is None or not self._is_scheduled(row):
                continue
            choose = max if self.sign > 0 else min
            self.best = value if self.best is None else choose(self.best, value)
            if row[self.length_key] >= self.position:
                self.step = row["step"]
        return self

    def _is_scheduled(self, row: Row) -> bool:
        """Whether an evaluation is one of those of `train.evaluate_every(_steps)`, or the last one of the training."""
        unit, every = self.every
        return bool(row[unit] % every == 0 or row[self.length_key] >= self.length)
