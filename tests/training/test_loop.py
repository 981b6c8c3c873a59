"""Training loop: determinism, resume at any step, model selection, single use of the test set, and NaN."""

import dataclasses
import io
import math
from functools import cache
from typing import Any

import pytest
import torch

from semisup.core.events import EpochEnd, EvalEnd, Finished, Progress, StepEnd
from semisup.core.types import Images
from semisup.errors import DivergedError
from semisup.runtime.precision import configure_torch
from semisup.training.evaluation import Evaluation, evaluate
from semisup.training.loop import train
from semisup.training.state import State, TrainingData, restore, start
from tests.conftest import SOAK, checked, choose, combinations, options, toy_problem

SMALL = ("model.widths=[8,16]", "train.batch_size=4", "optimizer.lr=0.01", "augment.strength=0.3")


def settings(*overrides: str, method: str = "self_training", policy: str = "fixed", epochs: int = 5) -> Any:
    """Return the settings of a short run that selects pseudo-labels early."""
    length = [] if any(each.startswith("train.steps") for each in overrides) else [f"train.epochs={epochs}"]
    eager = choose("method", method, gate=0, refresh_every=3) + choose("threshold", policy, tau=0.4, warmup_epochs=0)
    average = ["train.ema_decay=0.9"] if method == "mean_teacher" else []
    return checked(*SMALL, *length, *average, *eager, *overrides).settings


def rows_of(events: list[Any]) -> list[Any]:
    rows = [event.row() for event in events]
    return [{key: value for key, value in row.items() if not key.endswith("_seconds")} for row in rows if row]


def everything(problem: TrainingData, chosen: Any) -> tuple[list[Any], dict[str, torch.Tensor], Any]:
    state = start(problem, chosen)
    events = list(train(problem, chosen, state))
    return rows_of(events), state.student.state_dict(), events[-1]


@cache
def whole(method: str, policy: str) -> tuple[list[Any], dict[str, torch.Tensor], Any]:
    """A run that nothing interrupts, for two tests."""
    return everything(toy_problem(), settings(method=method, policy=policy))


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("method", "policy"), combinations(options("method"), options("threshold")))
def test_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(method: str, policy: str) -> None:
    problem, chosen = toy_problem(), settings(method=method, policy=policy)
    rows, weights, end = whole(method, policy)
    again_rows, again_weights, again_end = everything(problem, chosen)
    assert rows == again_rows
    assert same_weights(weights, again_weights)
    assert end == again_end
    assert rows != everything(problem, dataclasses.replace(chosen, seed=1))[0]


def resumed_at(
    stop: int, kind: type, problem: TrainingData, chosen: Any
) -> tuple[list[Any], dict[str, torch.Tensor], Any]:
    """Train to the `stop`-th whole moment, keep only the bytes of the snapshot, and go on from them elsewhere."""
    state, events, seen = start(problem, chosen), [], 0
    for event in train(problem, chosen, state):
        events.append(event)
        seen += isinstance(event, kind)
        if seen == stop and isinstance(event, kind):
            break
    buffer = io.BytesIO()
    torch.save(state.snapshot(), buffer)
    torch.manual_seed(stop)  # whatever the global generator was elsewhere
    other = start(problem, chosen)
    buffer.seek(0)
    snapshot = torch.load(buffer, weights_only=True)
    restore(other, snapshot)
    events += train(problem, chosen, other)
    buffer.seek(0)
    assert alike(snapshot, torch.load(buffer, weights_only=True)), "what was restored is changed by training"
    return rows_of(events), other.student.state_dict(), events[-1]


def alike(one: Any, other: Any) -> bool:
    """Plain data, or tensors of the same bits."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


@pytest.mark.parametrize(("method", "policy"), combinations(options("method"), options("threshold")))
def test_every_combination_resumed_in_the_middle_is_bit_identical(method: str, policy: str) -> None:
    problem, chosen = toy_problem(), settings(method=method, policy=policy)
    rows, weights, end = whole(method, policy)
    again_rows, again_weights, again_end = resumed_at(8, StepEnd, problem, chosen)
    assert again_rows == rows
    assert same_weights(again_weights, weights)
    assert again_end == end


@pytest.mark.parametrize("kind", [StepEnd, EpochEnd])
@pytest.mark.parametrize(
    "more",
    [
        [],
        ["train.steps=23", "schedule=cosine", "train.evaluate_every=2"],
        ["precision=bfloat16"],
        ["channels_last=false"],
        ["channels_last=false", "precision=bfloat16", "deterministic=false"],
        ["train.ema_decay=0.9", "train.ema_warmup=true", "train.ema_buffers=true"],
        ["method.ratio=1"],
        ["train.patience=2", "optimizer.lr=1e-9"],
        ["train.patience=2", "optimizer.lr=1e-9", "train.steps=60", "train.evaluate_every_steps=10"],
    ],
)
def test_run_resumed_at_any_event_is_bit_identical(kind: type, more: list[str]) -> None:
    configure_torch(1, deterministic="deterministic=false" not in more)
    problem, chosen = toy_problem(), settings(*more, epochs=4)
    rows, weights, end = everything(problem, chosen)
    state = start(problem, chosen)
    moments = sum(isinstance(event, kind) for event in train(problem, chosen, state))
    assert moments >= 3
    for stop in range(1, moments + 1) if SOAK else (1, moments // 2, moments):
        again_rows, again_weights, again_end = resumed_at(stop, kind, problem, chosen)
        assert again_rows == rows, stop
        assert same_weights(again_weights, weights), stop
        assert again_end == end, stop
    again_rows, again_weights, again_end, times = resumed_at_each(kind, problem, chosen)
    assert times == moments
    assert again_rows == rows
    assert same_weights(again_weights, weights)
    assert again_end == end


def resumed_at_each(
    kind: type, problem: TrainingData, chosen: Any
) -> tuple[list[Any], dict[str, torch.Tensor], Any, int]:
    """Train from each whole moment to the next, each time elsewhere from the bytes of the snapshot alone."""
    events: list[Any] = []
    snapshot, times = b"", 0
    while not events or not isinstance(events[-1], Finished):
        state = start(problem, chosen)
        if snapshot:
            restore(state, torch.load(io.BytesIO(snapshot), weights_only=True))
        for event in train(problem, chosen, state):
            events.append(event)
            if isinstance(event, kind):
                times += 1
                buffer = io.BytesIO()
                torch.save(state.snapshot(), buffer)
                snapshot = buffer.getvalue()
                break
    return rows_of(events), state.student.state_dict(), events[-1], times


def test_dropout_is_a_function_of_the_step() -> None:
    chosen = settings(method="supervised")

    @dataclasses.dataclass(frozen=True)
    class Dropping:
        share: float

        def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> torch.nn.Module:
            layers = torch.nn.Flatten(), torch.nn.Dropout(self.share), torch.nn.Linear(channels * size**2, num_classes)
            return torch.nn.Sequential(*layers)

    chosen = dataclasses.replace(chosen, model=Dropping(0.5))
    problem = toy_problem()
    rows, weights, _ = everything(problem, chosen)
    assert resumed_at(5, StepEnd, problem, chosen)[0] == rows
    still = dataclasses.replace(chosen, model=Dropping(0.0))
    assert everything(problem, still)[0] != rows, "it drops something"


def test_training_takes_exactly_train_steps() -> None:
    problem, chosen = toy_problem(), settings("train.steps=23")
    state = start(problem, chosen)
    events = list(train(problem, chosen, state))
    assert sum(isinstance(event, StepEnd) for event in events) == 23
    summary = events[-1].summary
    assert summary["steps"] == 23
    assert 0 < summary["labeled_steps"] < 23
    rows = rows_of(events)
    assert rows[-1]["step"] == 23, "the end is evaluated"


def test_labeled_steps_counts_only_supervised_steps() -> None:
    problem = toy_problem(labeled=12)
    summary = everything(problem, settings(method="supervised", epochs=5))[2].summary
    assert summary["labeled_steps"] == summary["steps"] == 15
    summary = everything(problem, settings(epochs=5))[2].summary
    assert summary["labeled_steps"] == 15 < summary["steps"]


def poisoned(images: Images) -> Images:
    """The same with other targets: wrong wherever they were right."""
    return dataclasses.replace(images, targets=(images.targets + 1) % 3)


def test_test_set_affects_no_selection() -> None:
    problem, chosen = toy_problem(), settings()
    rows, weights, end = everything(problem, chosen)
    other_rows, other_weights, other_end = everything(dataclasses.replace(problem, test=poisoned(problem.test)), chosen)
    assert rows == other_rows
    assert same_weights(weights, other_weights)
    assert end.summary["test/loss"] != other_end.summary["test/loss"]
    mine, theirs = (
        {key: value for key, value in each.summary.items() if not key.startswith("test/")} for each in (end, other_end)
    )
    assert mine == theirs
    assert end.what_if == other_end.what_if


def test_test_set_is_read_once_at_the_end_with_the_best_model(monkeypatch: pytest.MonkeyPatch) -> None:
    import semisup.training.model_selection

    problem, chosen, seen = toy_problem(), settings(), []
    real = semisup.training.model_selection.evaluate

    def spy(model: Any, images: Images, *more: Any) -> Any:
        if images is problem.test:
            seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return real(model, images, *more)

    monkeypatch.setattr(semisup.training.model_selection, "evaluate", spy)
    state = start(problem, chosen)
    list(train(problem, chosen, state))
    assert len(seen) == 1
    assert state.best is not None
    assert same_weights(seen[0], state.best.weights)


def test_predictions_match_the_confusion_matrix_and_skip_unknown_classes() -> None:
    problem = toy_problem()
    targets = problem.validation.targets.clone()
    targets[::5] = -1
    problem = dataclasses.replace(problem, validation=dataclasses.replace(problem.validation, targets=targets))
    end = everything(problem, settings())[2]
    assert list(end.predictions) == ["validation", "test"]
    found = end.predictions["validation"]
    known = [number for number, target in enumerate(targets.tolist()) if target >= 0]
    assert found.paths == [problem.validation.paths[number] for number in known]
    assert found.targets == targets[known].tolist()
    for split, each in end.predictions.items():
        counts = torch.zeros(3, 3, dtype=torch.int64)
        for true, said in zip(each.targets, each.predicted, strict=True):
            counts[true, said] += 1
        assert counts.tolist() == end.confusion[split]
        probabilities = end.probabilities[split]
        assert probabilities.shape == (len(each.paths), 3)
        assert probabilities.argmax(dim=1).tolist() == each.predicted
        assert probabilities.amax(dim=1).tolist() == each.confidence
        assert all(1 / 3 <= sure <= 1 for sure in each.confidence)


def test_class_metrics_are_logged_and_summarized_without_nan() -> None:
    problem = toy_problem()
    targets = problem.test.targets.clone()
    targets[targets == 1] = -1  # a class that is absent from the test set
    problem = dataclasses.replace(problem, test=dataclasses.replace(problem.test, targets=targets))
    rows, _, end = everything(problem, settings())
    evaluations = [row for row in rows if "val/loss" in row]
    assert all(0 <= row[f"val/{name}"] <= 1 for row in evaluations for name in ("balanced_accuracy", "macro_f1"))
    assert end.recall["test"][1] is None
    recalls = [end.recall["test"][number] for number in (0, 2)]
    assert end.summary["test/balanced_accuracy"] == sum(recalls) / 2
    assert 0 <= end.summary["test/macro_f1"] <= 1
    for number, row in enumerate(end.confusion["validation"]):
        assert end.recall["validation"][number] == row[number] / sum(row)


def test_test_set_without_classes_is_not_evaluated() -> None:
    problem = toy_problem()
    unknown = dataclasses.replace(problem.test, targets=torch.full_like(problem.test.targets, -1))
    end = everything(dataclasses.replace(problem, test=unknown), settings())[2]
    assert "test/accuracy" not in end.summary
    assert set(end.confusion) == {"validation"}


def test_nan_stops_training_names_the_step_and_is_not_saved() -> None:
    problem, chosen = toy_problem(), settings(method="supervised")
    state = start(problem, chosen)
    with pytest.raises(DivergedError, match="step 5"):
        for event in train(problem, chosen, state):
            if isinstance(event, StepEnd) and event.step == 4:
                next(iter(state.student.parameters())).data[0] = math.nan
            if isinstance(event, StepEnd) and event.step == 5:
                with pytest.raises(DivergedError):
                    state.snapshot()


def test_snapshot_holds_only_tensors_and_plain_data() -> None:
    problem, chosen = toy_problem(), settings(policy="quantile")
    state = start(problem, chosen)
    list(train(problem, chosen, state))

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str | int) and plain(each) for key, each in value.items())
        if isinstance(value, list | tuple):
            return all(plain(each) for each in value)
        return value is None or type(value) in (int, float, str, bool) or isinstance(value, torch.Tensor)

    assert plain(state.snapshot())


def test_snapshot_of_another_model_is_rejected() -> None:
    problem = toy_problem()
    snapshot = start(problem, settings("model.widths=[8,16,16]")).snapshot()
    state: State = start(problem, settings())
    with pytest.raises(RuntimeError, match="state_dict"):
        restore(state, snapshot)


def test_evaluation_is_independent_of_the_batch_size_and_counts_every_image() -> None:
    problem, chosen = toy_problem(), settings(method="supervised")
    state = start(problem, chosen)

    def looked_at(batch: int) -> Evaluation:
        looking, done = evaluate(state.student, problem.validation, 3, batch), 0
        while True:
            try:
                before, done = done, next(looking)
            except StopIteration as end:
                found: Evaluation = end.value
                assert done == 24
                return found
            assert 0 < done - before <= batch

    whole = looked_at(24)
    for batch in (1, 5, 100):
        other = looked_at(batch)
        assert torch.equal(whole.confusion, other.confusion)
        assert other.loss == pytest.approx(whole.loss, rel=1e-5)
        torch.testing.assert_close(other.logits, whole.logits)
    assert int(whole.confusion.sum()) == len(whole.logits) == 24
    assert state.student.training, "the mode is put back"


def test_learning_rate_follows_the_schedule() -> None:
    problem, chosen = toy_problem(), settings("schedule=cosine", "schedule.warmup=0", method="supervised", epochs=4)
    rates = [
        event.metrics["lr"] for event in train(problem, chosen, start(problem, chosen)) if isinstance(event, EvalEnd)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.01 * (1 + math.cos(math.pi * 11 / 12)) / 2)
    constant = settings("schedule.warmup=0.5", method="supervised", epochs=4)
    rates = [
        event.metrics["lr"]
        for event in train(problem, constant, start(problem, constant))
        if isinstance(event, EvalEnd)
    ]
    assert rates[0] == pytest.approx(0.01 * 2 / 6)
    assert rates[-1] == 0.01


def test_gate_that_is_never_passed_equals_supervised_training() -> None:
    problem = toy_problem()
    rows, weights, _ = everything(problem, settings("method.gate=1"))
    plain_rows, plain_weights, _ = everything(problem, settings(method="supervised"))
    assert rows == plain_rows
    assert same_weights(weights, plain_weights)


def test_method_gets_its_evaluations_for_any_evaluate_every() -> None:
    problem = toy_problem()
    rows, _, _ = everything(problem, settings("train.evaluate_every=3", epochs=9))
    assert [row["epoch"] for row in rows if "pseudo/round" in row] == [1, 4, 7]
    assert [row["epoch"] for row in rows if "val/loss" in row] == [1, 3, 4, 6, 7, 9]


def test_events_are_in_order_and_labeling_reports_progress() -> None:
    problem, chosen = toy_problem(), settings("train.eval_batch_size=8", epochs=2)
    events = list(train(problem, chosen, start(problem, chosen)))
    kinds = [type(event) for event in events]
    assert kinds[:3] == [StepEnd] * 3
    assert kinds[-1] is Finished
    assert kinds.count(EpochEnd) == 2
    done = [(event.phase, event.done) for event in events if isinstance(event, Progress)]
    assert [count for doing, count in done if doing == "scoring"] == [8, 16, 24, 30], "30 images, 8 at once"
    assert [count for doing, count in done if doing == "validation"] == [8, 16, 24] * 3, "two epochs, and the end"
    assert [count for doing, count in done if doing == "test"] == [8, 16, 24]
