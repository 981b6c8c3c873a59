"""Diagnostics of pseudo-labels, calibration and collapse, computed from passes that a run makes anyway."""

import csv
import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from semisup.config.sections import CollapseSettings
from semisup.core.events import EvalEnd, Finished, PoolLabeled, StepEnd
from semisup.core.inference import TEMPERATURE
from semisup.core.metrics import normalized_entropy, per_class
from semisup.core.threshold_curve import THRESHOLDS, threshold_curve
from semisup.core.types import ClassCounts, PolicyOutput, PseudoLabels, ThresholdCurve
from semisup.errors import CollapsedError
from semisup.method import Position, pool_labeled_event
from semisup.record.writer import RunWriter
from semisup.runner.collapse import CollapseWatch
from semisup.training.loop import train
from semisup.training.state import make_context, restore, start
from tests.conftest import checked, choose, toy_problem

SMALL = ("model.widths=[8,16]", "train.batch_size=4", "optimizer.lr=0.01", "augment.strength=0.3", "train.epochs=5")


def settings(*more: str, method: str = "self_training", policy: str = "fixed") -> Any:
    average = ["train.ema_decay=0.9"] if method == "mean_teacher" else []
    eager = choose("method", method, gate=0, refresh_every=2) + choose("threshold", policy, tau=0.4, warmup_epochs=0)
    return checked(*SMALL, *eager, *average, *more).settings


def events_of(chosen: Any, problem: Any = None) -> list[Any]:
    problem = problem or toy_problem()
    return list(train(problem, chosen, start(problem, chosen)))


# Numbers --------------------------------------------------------------------------------------------------------------


def test_entropy_equals_manual_values() -> None:
    assert normalized_entropy(torch.tensor([5, 5, 5, 5])) == pytest.approx(1)
    assert normalized_entropy(torch.tensor([7, 0, 0])) == 0
    assert normalized_entropy(torch.tensor([8, 8, *[0] * 8])) == pytest.approx(math.log(2) / math.log(10))
    assert normalized_entropy(torch.tensor([3, 1])) == pytest.approx(2 - 0.75 * math.log2(3))
    assert normalized_entropy(torch.tensor([0, 0])) is None
    assert normalized_entropy(torch.tensor([4])) == 1


def test_class_counts_equal_manual_values() -> None:
    targets, truth = torch.tensor([0, 0, 1, 1, 1, 2]), torch.tensor([0, 1, 1, -1, 0, 2])
    weight = torch.tensor([1, 0.5, 1, 1, 0, 0])
    counts = per_class(targets, weight, truth, torch.tensor([0.5, 0.75, 2.0]))
    assert counts == ClassCounts([2, 3, 1], [2, 2, 0], [2, 1, 0], [1, 1, 0], [0.5, 0.75, 2.0])


def a_labeling(targets: list[int], confidence: list[float], weight: list[float], threshold: list[float]) -> PoolLabeled:
    """Build the event of images whose true classes are 0, 1, 2, 0, 1, 2, ..."""
    problem, chosen = toy_problem(unlabeled=len(targets)), settings()
    training = make_context(problem, chosen, start(problem, chosen))
    labels = PseudoLabels(torch.empty(len(targets), 0), torch.tensor(confidence), torch.tensor(targets))
    selection = PolicyOutput(torch.tensor(weight), torch.tensor(targets), torch.tensor(threshold))
    return pool_labeled_event(training, Position(7, 3, 0, 0.5), 1, labels, selection)


def test_images_that_were_not_labeled_count_in_no_metric() -> None:
    seen = a_labeling([0, 1, 1, 0], [0.9, 0.8, 0.7, 0.6], [1, 1, 0.5, 0], [0.5] * 3)
    more = a_labeling([0, 1, 1, 0, -1, -1], [0.9, 0.8, 0.7, 0.6, 0, 0], [1, 1, 0.5, 0, 0, 0], [0.5] * 3)
    assert more.metrics == seen.metrics
    assert more.classes == seen.classes
    assert more.what_if == seen.what_if
    assert seen.metrics["pseudo/coverage"] == 0.75
    assert seen.metrics["pseudo/accuracy"] == pytest.approx(2 / 3)
    assert seen.metrics["pseudo/entropy"] == pytest.approx((2 / 3 * math.log(1.5) + math.log(3) / 3) / math.log(3))
    assert seen.metrics["pseudo/confidence"] == pytest.approx(0.75)
    assert "pseudo/threshold_min" not in seen.metrics


def test_class_thresholds_are_logged_by_minimum_and_maximum() -> None:
    metrics = a_labeling([0, 1, 2], [0.9] * 3, [1, 1, 1], [0.5, 0.25, 0.75]).metrics
    assert (metrics["pseudo/threshold"], metrics["pseudo/threshold_min"], metrics["pseudo/threshold_max"]) == (
        0.5,
        0.25,
        0.75,
    )


@pytest.mark.parametrize("method", ["self_training", "fixmatch"])
def test_threshold_curve_at_the_applied_threshold_equals_the_selection(method: str) -> None:
    labelings = [
        event for event in events_of(settings("train.epochs=12", method=method)) if isinstance(event, PoolLabeled)
    ]
    assert any(event.metrics["pseudo/count"] for event in labelings)
    for event in labelings:
        at = THRESHOLDS.index(0.4)
        assert event.what_if.coverage[at] == pytest.approx(event.metrics["pseudo/coverage"])
        assert event.what_if.accuracy[at] == pytest.approx(event.metrics["pseudo/accuracy"])
        assert sum(event.classes.kept) == sum(event.classes.known) == event.metrics["pseudo/count"]
        correct = (event.metrics["pseudo/accuracy"] or 0) * event.metrics["pseudo/count"]
        assert sum(event.classes.right) == pytest.approx(correct)


def test_validation_curve_is_that_of_the_evaluated_model() -> None:
    events = events_of(settings())
    for event in events:
        if isinstance(event, EvalEnd):
            assert event.what_if is not None
            assert event.what_if.accuracy[0] == pytest.approx(event.metrics["val/accuracy"]), (
                "at threshold 0 all images count"
            )
            assert 0 <= event.metrics["val/ece"] <= 1
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.what_if is not None
    assert end.what_if.accuracy[0] == pytest.approx(end.summary["best/val/accuracy"])
    assert set(end.reliability) == {"validation", "test"}
    assert sum(end.reliability["test"][0].images) == 24
    assert {"best/val/ece", "best/val/ece_calibrated", "test/ece", "test/ece_calibrated", "best/temperature"} <= set(
        end.summary
    )


# The labeler's temperature --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["self_training", "noisy_student", "pseudo_label", "fixmatch", "uda", "mean_teacher", "mixmatch"]
)
def test_calibration_changes_pseudo_labels_and_is_logged(method: str) -> None:
    uncalibrated, calibrated = (
        events_of(settings(f"labeler.calibrate={each}", method=method)) for each in ("false", "true")
    )
    confidences = [
        [event.metrics["pseudo/confidence"] for event in events if isinstance(event, PoolLabeled)]
        for events in (uncalibrated, calibrated)
    ]
    assert confidences[0] != confidences[1]
    assert not any(TEMPERATURE in event.metrics for event in uncalibrated if isinstance(event, EvalEnd))
    for event in calibrated:
        if isinstance(event, EvalEnd):
            assert 1 / 20 <= event.metrics[TEMPERATURE] <= 20
            assert 0 <= event.metrics["val/ece_calibrated"] <= 1


@pytest.mark.parametrize("policy", ["adamatch", "dash"])
def test_offline_policies_get_calibrated_predictions_of_labeled_images(policy: str) -> None:
    problem, chosen = toy_problem(), settings(policy=policy)
    state = start(problem, chosen)
    training = make_context(problem, chosen, state)
    confidences = []
    for temperature in (0.1, 10.0):
        memory = state.memory | {TEMPERATURE: torch.tensor(temperature, dtype=torch.float64)}
        labeled = training.context(Position(0, 0, 0, 0.0), memory).labeled
        assert labeled is not None
        confidences.append(float(labeled.probabilities.amax(1).mean()))
    assert confidences[0] > confidences[1]


@pytest.mark.parametrize("method", ["pseudo_label", "fixmatch", "uda", "mean_teacher", "mixmatch"])
def test_online_policies_get_calibrated_predictions_of_labeled_images(method: str) -> None:
    problem, chosen = toy_problem(), settings(method=method, policy="adamatch")
    state = start(problem, chosen)
    training = make_context(problem, chosen, state)
    thresholds = []  # tau times the mean confidence of the labeled images
    for temperature in (0.1, 10.0):
        memory = state.memory | {TEMPERATURE: torch.tensor(temperature, dtype=torch.float64)}
        _, memory = chosen.method.loss(training, memory, Position(0, 0, 0, 0.0))
        thresholds.append(float(memory["last/threshold"].mean()))
    assert thresholds[0] > thresholds[1]


@pytest.mark.parametrize("method", ["self_training", "fixmatch"])
def test_calibrated_run_resumes_bit_identically(method: str) -> None:
    problem, chosen = toy_problem(), settings("labeler.calibrate=true", method=method)
    whole = [event for event in events_of(chosen, problem) if not isinstance(event, StepEnd)]
    for stop in (1, 4, 9, 13):
        state, events = start(problem, chosen), []
        for event in train(problem, chosen, state):
            events.append(event)
            if isinstance(event, StepEnd) and event.step == stop:
                break
        buffer = io.BytesIO()
        torch.save(state.snapshot(), buffer)
        buffer.seek(0)
        other = start(problem, chosen)
        restore(other, torch.load(buffer, weights_only=True))
        assert torch.equal(other.memory[TEMPERATURE], state.memory[TEMPERATURE])
        events += train(problem, chosen, other)
        assert comparable(events) == comparable(whole), stop


def comparable(events: list[Any]) -> list[Any]:
    """Extract the rows without times, and the curves."""
    rows = [event.row() for event in events]
    clean = [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in rows if row]
    return clean + [event.what_if for event in events if isinstance(event, EvalEnd | PoolLabeled | Finished)]


def test_temperature_is_1_before_the_first_evaluation() -> None:
    problem, chosen = toy_problem(), settings("labeler.calibrate=true", method="fixmatch")
    state = start(problem, chosen)
    assert float(state.memory[TEMPERATURE]) == 1
    for event in train(problem, chosen, state):
        if isinstance(event, EvalEnd):
            assert float(state.memory[TEMPERATURE]) == event.metrics[TEMPERATURE] != 1
            break
        assert float(state.memory[TEMPERATURE]) == 1


def test_supervised_run_fits_no_temperature() -> None:
    events = [events_of(settings(f"labeler.calibrate={each}", method="supervised")) for each in ("false", "true")]
    assert comparable(events[0]) == comparable(events[1])
    ids = {checked("method=supervised", f"labeler.calibrate={each}").id for each in ("false", "true")}
    assert len(ids) == 1
    assert checked("labeler.calibrate=true").id != checked("labeler.calibrate=false").id


def test_final_threshold_curve_uses_calibrated_confidences() -> None:
    problem, chosen = toy_problem(), settings("labeler.calibrate=true", "precision=float32")
    end = events_of(chosen)[-1]
    state = start(problem, chosen)
    list(train(problem, chosen, state))
    assert state.best is not None
    state.student.load_state_dict(state.best.weights)
    with torch.no_grad():
        logits = state.student.eval()(problem.validation.pixels.float() / 255) / end.summary["best/temperature"]
    confidence, predicted = logits.softmax(1).max(1)
    assert end.what_if == threshold_curve(confidence, predicted, problem.validation.targets)


# Collapse -------------------------------------------------------------------------------------------------------------


class Constant(nn.Module):
    """Predict the same class for every image, with high confidence."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([0.0, 5.0, 0.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.bias.expand(len(images), 3) + 0 * images.flatten(1).mean(1, keepdim=True)


@dataclasses.dataclass(frozen=True)
class ConstantSettings:
    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        return Constant()


def watch(warn: float | None = 0.3, stop: float | None = None) -> CollapseWatch:
    return CollapseWatch(CollapseSettings(warn, stop), "a-run", ("cat", "dog", "owl"), toy_problem().validation.targets)


def test_collapse_is_warned_about_once_and_only_for_a_constant_model() -> None:
    healthy, collapsed = watch(), watch()
    labelings = 0
    for event in events_of(settings("threshold.tau=0", "train.epochs=20", "method.gate=0.7")):
        healthy.on_event(event)
        labelings += isinstance(event, PoolLabeled)
    assert labelings >= 2
    chosen = dataclasses.replace(settings("threshold.tau=0", "optimizer.lr=0.0001"), model=ConstantSettings())
    events = events_of(chosen)
    with pytest.warns(UserWarning, match="collapse") as caught:
        [collapsed.on_event(event) for event in events]
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "a-run: pseudo-labels collapse at step 3: 100% of the 30 selected are dog; the entropy of their classes is "
        "0.00 times that of the validation images, below collapse.warn_below=0.3. "
        "Try a higher method.gate, a higher threshold.tau or threshold=class_balanced"
    )


def labeling(kept: list[int]) -> PoolLabeled:
    """Build an event that holds only the number of selected images of each class."""
    entropy = normalized_entropy(torch.tensor(kept))
    none = PseudoLabels(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    selection = PolicyOutput(torch.zeros(0), none.targets, torch.zeros(3))
    classes = ClassCounts(kept, kept, kept, kept, [0.5] * 3)
    return PoolLabeled(3, 1, 1, none, selection, {"pseudo/entropy": entropy}, classes, ThresholdCurve([], []))


def test_collapse_depends_on_entropy_and_number_of_images() -> None:
    watch(warn=0.3).on_event(labeling([14, 0, 0]))  # 14 images of three classes are too few to judge
    watch(warn=0.3).on_event(labeling([0, 0, 0]))
    watch(warn=0.3).on_event(labeling([88, 6, 6]))
    with pytest.warns(UserWarning, match="below collapse"):
        watch(warn=0.3).on_event(labeling([96, 2, 2]))
    watch(warn=None).on_event(labeling([100, 0, 0]))
    with pytest.raises(CollapsedError, match=r"below collapse\.stop_below=0\.2"):
        watch(warn=None, stop=0.2).on_event(labeling([100, 0, 0]))
    with pytest.warns(UserWarning, match=r"0\.24 times that of the validation images"):
        watch(warn=0.3, stop=0.2).on_event(labeling([94, 3, 3]))


def test_collapse_is_not_judged_if_validation_has_one_class() -> None:
    alone = CollapseWatch(CollapseSettings(0.3, 0.3), "a-run", ("cat", "dog"), torch.ones(9, dtype=torch.int64))
    alone.on_event(labeling([100, 0, 0]))


def test_collapse_settings_do_not_change_the_run_id() -> None:
    ids = {checked(*more).id for more in ([], ["collapse.warn_below=null"], ["collapse.stop_below=0.1"])}
    assert len(ids) == 1


# The record -----------------------------------------------------------------------------------------------------------

DATA = {"fingerprint": "f", "classes": ["cat", "dog", "owl"]}


def recorded(folder: Path, chosen: Any, stop: int | None = None) -> bool:
    """Train from the last checkpoint in a run directory; stop at step `stop`, two steps after a save."""
    problem = toy_problem()
    with RunWriter(folder, {"seed": 0}, {"id": "x"}) as record:
        record.set_dataset(DATA, {}, problem.unlabeled.paths)
        state = start(problem, chosen)
        if (snapshot := record.resume()) is not None:
            restore(state, snapshot)
        for event in train(problem, chosen, state):
            record.write_event(event)
            if isinstance(event, StepEnd) and stop is not None:
                if event.step == stop - 2:
                    record.save(state.snapshot())
                elif event.step == stop:
                    return False
    return True


@pytest.mark.parametrize("method", ["self_training", "fixmatch", "supervised"])
def test_resumed_run_has_byte_identical_tables(tmp_path: Path, method: str) -> None:
    chosen = settings("labeler.calibrate=true", method=method)
    assert recorded(tmp_path / "whole", chosen)
    for stop in (5, 9, 11):
        recorded(tmp_path / "broken", chosen, stop)
    assert recorded(tmp_path / "broken", chosen)
    for name in ("what_if.csv", "classes.csv"):
        one, other = tmp_path / "whole" / name, tmp_path / "broken" / name
        assert one.exists() == other.exists() == (name == "what_if.csv" or method != "supervised")
        assert not one.exists() or one.read_bytes() == other.read_bytes()


def test_tables_hold_the_values_of_the_events(tmp_path: Path) -> None:
    chosen = settings()
    recorded(tmp_path / "run", chosen)
    events = events_of(chosen)
    labelings = [event for event in events if isinstance(event, PoolLabeled)]
    with (tmp_path / "run" / "what_if.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "epoch", "on", "tau", "coverage", "accuracy"]
    places = [(int(row["step"]), row["on"]) for row in rows[:: len(THRESHOLDS)]]
    expected = [place for event in labelings for place in ((event.step, "validation"), (event.step, "pool"))]
    chosen_step = events[-1].summary["best/step"]
    assert places == expected + ([] if (chosen_step, "validation") in expected else [(chosen_step, "validation")])
    pool = [row for row in rows if row["on"] == "pool"][-len(THRESHOLDS) :]
    assert [float(row["tau"]) for row in pool] == list(THRESHOLDS)
    assert [float(row["coverage"]) for row in pool] == pytest.approx(labelings[-1].what_if.coverage, abs=1e-6)
    accuracies = [share for share in labelings[-1].what_if.accuracy if share is not None]
    assert [float(row["accuracy"]) for row in pool if row["accuracy"]] == pytest.approx(accuracies, abs=1e-6)
    with (tmp_path / "run" / "classes.csv").open() as file:
        classes = list(csv.DictReader(file))
    assert len(classes) == 3 * len(labelings)
    assert [row["class"] for row in classes[:3]] == ["cat", "dog", "owl"]
    for event, lines in zip(labelings, (classes[at : at + 3] for at in range(0, len(classes), 3)), strict=True):
        assert [int(row["kept"]) for row in lines] == event.classes.kept
        assert sum(int(row["labeled"]) for row in lines) == 30


def test_supervised_run_has_the_curve_of_its_best_model_only(tmp_path: Path) -> None:
    recorded(tmp_path / "run", settings(method="supervised"))
    rows = (tmp_path / "run" / "what_if.csv").read_text().splitlines()
    assert len(rows) == 1 + len(THRESHOLDS)
