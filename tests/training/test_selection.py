"""Selection of the best model by a validation metric, and early stopping."""

import dataclasses
from typing import Any

import pytest
import torch

from semisup.core.events import EvalEnd, Finished, StepEnd
from semisup.training.loop import train
from semisup.training.settings import SELECTION_METRICS
from semisup.training.state import TrainingData, start
from tests.conftest import checked, toy_problem

SMALL = ("model.widths=[8,16]", "train.batch_size=4", "optimizer.lr=0.003", "method=supervised")


def unbalanced_problem() -> TrainingData:
    """A problem whose validation set has many images of class 0, some with a wrong label: the metrics disagree."""
    problem = toy_problem()
    targets = problem.validation.targets.clone()
    targets[::2] = 0
    return dataclasses.replace(problem, validation=dataclasses.replace(problem.validation, targets=targets))


def run(problem: TrainingData, *overrides: str) -> tuple[list[dict[str, Any]], Finished, list[int]]:
    """Return the rows of the evaluations, the last event, and the steps that were done."""
    settings = checked(*SMALL, *overrides).settings
    events = list(train(problem, settings, start(problem, settings)))
    rows = [
        {key: value for key, value in event.row().items() if not key.endswith("_seconds")}
        for event in events
        if isinstance(event, EvalEnd)
    ]
    assert isinstance(events[-1], Finished)
    return rows, events[-1], [event.step for event in events if isinstance(event, StepEnd)]


def first_best_step(rows: list[dict[str, Any]], metric: str) -> int:
    sign = -1 if metric == "loss" else 1
    return int(max(rows, key=lambda row: (sign * row[f"val/{metric}"], -row["step"]))["step"])


def test_best_model_is_the_first_with_the_best_selected_metric() -> None:
    problem, steps = unbalanced_problem(), {}
    for metric in SELECTION_METRICS:
        rows, end, _ = run(problem, f"train.select_by={metric}", "train.epochs=12", "seed=3")
        steps[metric] = end.summary["best/step"]
        assert steps[metric] == first_best_step(rows, metric)
        chosen = next(row for row in rows if row["step"] == steps[metric])
        assert {name: end.summary[f"best/val/{name}"] for name in SELECTION_METRICS} == {
            name: chosen[f"val/{name}"] for name in SELECTION_METRICS
        }
    assert len(set(steps.values())) == 4, "each metric selects another model"


@pytest.mark.parametrize("length", [["train.epochs=12"], ["train.steps=36", "train.evaluate_every_steps=2"]])
def test_patience_ends_training_after_evaluations_without_improvement(length: list[str]) -> None:
    problem = toy_problem()
    still = ["optimizer.lr=1e-9", *length]  # no evaluation after the first improves the accuracy
    whole, _, _ = run(problem, *still)
    for patience in (1, 3):
        rows, end, steps = run(problem, *still, f"train.patience={patience}")
        assert rows == whole[: patience + 1]
        assert end.summary["steps"] == steps[-1] == rows[-1]["step"] < 36
        assert end.summary["best/step"] == rows[0]["step"]


def test_patience_counts_evaluations_since_the_last_improvement() -> None:
    problem = unbalanced_problem()
    overrides = ["train.epochs=40", "train.select_by=macro_f1", "seed=3"]
    whole, _, _ = run(problem, *overrides)
    rows, end, _ = run(problem, *overrides, "train.patience=4")
    assert rows == whole[: len(rows)]
    best = next(number for number, row in enumerate(rows) if row["step"] == end.summary["best/step"])
    assert len(rows) == best + 1 + 4 < len(whole)
    assert best > 0


def test_patience_does_not_count_evaluations_that_only_the_method_needs() -> None:
    problem = toy_problem()
    eager = ("method=self_training", "method.gate=0", "method.refresh_every=1", "optimizer.lr=1e-9")
    rows, end, _ = run(problem, *eager, "train.epochs=12", "train.evaluate_every=3", "train.patience=1")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert end.summary["epochs"] == 6


def test_patience_without_a_plateau_changes_nothing() -> None:
    problem = toy_problem()
    rows, end, _ = run(problem, "train.epochs=4")
    patient_rows, patient_end, _ = run(problem, "train.epochs=4", "train.patience=100")
    assert rows == patient_rows
    assert end == patient_end
    assert torch.tensor(end.confusion["test"]).sum() == 24
