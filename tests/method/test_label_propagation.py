"""`method=label_propagation`: labels from the neighbors, propagated once, weighted by the threshold policy."""

import dataclasses
from collections.abc import Generator
from typing import Any

import pytest
import torch
from torch import Tensor

from semisup.core.events import EvalEnd, Event, PoolLabeled
from semisup.core.label_propagation import propagate_labels
from semisup.errors import SettingError
from semisup.method import label_propagation
from semisup.runtime import distributed
from semisup.training.loop import train
from semisup.training.state import State, TrainingConfig, TrainingData, make_context, restore, start
from tests.conftest import checked, prepared, toy_problem, value_of

OVERRIDES = (
    "method=label_propagation",
    "model.widths=[8,16]",
    "train.batch_size=4",
    "optimizer.lr=0.01",
    "method.ratio=2",
    "train.epochs=2",
    "precision=float32",
)


def trained(*overrides: str) -> tuple[TrainingData, TrainingConfig, State]:
    settings = checked(*OVERRIDES, *overrides).settings
    problem = toy_problem()
    state = start(problem, settings)
    for _ in train(problem, settings, state):
        pass
    return problem, settings, state


def test_pseudo_labels_are_the_propagated_labels_of_the_pixels() -> None:
    problem, _, state = trained("method.neighbors=3", "method.neighbor_share=0.7", "method.power=2")
    images = torch.cat((problem.unlabeled.pixels[:], problem.labeled.pixels[:])).flatten(1) / 255
    targets = torch.cat((torch.full((len(problem.unlabeled),), -1), problem.labeled.targets))
    settings = {"neighbors": 3, "alpha": 0.7, "power": 2, "prior": "uniform"}
    expected = value_of(propagate_labels(images, targets, problem.num_classes, **settings))
    torch.testing.assert_close(state.memory["propagated"], expected)


def test_known_classes_of_unlabeled_images_change_nothing() -> None:
    problem = toy_problem()
    classes = torch.zeros(len(problem.unlabeled), dtype=torch.int64)
    told = dataclasses.replace(problem, unlabeled=dataclasses.replace(problem.unlabeled, targets=classes))
    settings = checked(*OVERRIDES).settings
    weights = []
    for data in (problem, told):
        state = start(data, settings)
        for _ in train(data, settings, state):
            pass
        weights.append(torch.cat([each.flatten() for each in state.student.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize("threshold", [("fixed", "threshold.strict=true"), ("adamatch",)])
def test_run_that_selects_nothing_is_bit_identical_to_its_control(threshold: tuple[str, ...]) -> None:
    name, *settings = threshold
    tau = "threshold.tau=1" if name == "fixed" else "threshold.tau=0.5"
    _, _, run = trained(f"threshold={name}", tau, *settings)
    _, _, control = trained("method.lambda_unlabeled=0")
    same = [torch.equal(*pair) for pair in zip(run.student.parameters(), control.student.parameters(), strict=True)]
    assert all(same) is (name == "fixed")
    assert "propagated" in run.memory
    assert "propagated" not in control.memory


def test_restored_run_keeps_the_labels_that_it_propagated() -> None:
    problem, settings, state = trained()
    again = start(problem, settings)
    restore(again, state.snapshot())
    assert torch.equal(again.memory["propagated"], state.memory["propagated"])


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("method.neighbors=0", "neighbors"),
        ("method.neighbor_share=0.999", "neighbor_share"),
        ("method.power=-1", "power"),
        ("method.ramp=2", "ramp"),
    ],
)
def test_setting_out_of_range_is_refused(override: str, key: str) -> None:
    with pytest.raises(SettingError, match=rf"method\.{key}"):
        checked("method=label_propagation", override)


def test_calibration_is_refused_since_it_has_no_effect() -> None:
    with pytest.raises(SettingError, match=r"labeler\.calibrate=true: has no effect with method=label_propagation"):
        checked("method=label_propagation", "labeler.calibrate=true")
    checked("method=label_propagation", "method.lambda_unlabeled=0", "labeler.calibrate=true")  # no pseudo-labels


def test_confidence_of_the_model_is_no_curve_of_the_labelings() -> None:
    problem, settings = toy_problem(), checked(*OVERRIDES).settings
    events = list(train(problem, settings, start(problem, settings)))
    assert [event.what_if for event in events if isinstance(event, EvalEnd)] == [None, None]
    assert all(event.what_if.coverage[0] == 1 for event in events if isinstance(event, PoolLabeled))


def test_process_other_than_the_leader_receives_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = checked(*OVERRIDES).settings
    problem = toy_problem()
    state = start(problem, settings)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(label_propagation, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    monkeypatch.setattr(distributed.dist, "broadcast", lambda tensor, source: tensor.fill_(0.25))
    monkeypatch.setattr(label_propagation, "propagate_labels", lambda *_: pytest.fail("only the leader propagates"))
    memory = prepared(settings.method, make_context(problem, settings, state), state.memory)
    assert memory["propagated"].shape == (42, 3)
    assert bool((memory["propagated"] == 0.25).all())


def test_runs_that_differ_in_the_threshold_only_share_the_propagated_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def propagate(*arguments: Any) -> Generator[Event, None, Tensor]:
        calls.append(arguments)
        return (yield from propagate_labels(*arguments))

    monkeypatch.setattr(label_propagation, "propagate_labels", propagate)
    monkeypatch.setattr(label_propagation, "_last", {})
    results = [trained(f"threshold.tau={tau}")[2].memory["propagated"] for tau in (0.4, 0.6)]
    assert len(calls) == 1
    assert torch.equal(*results)
    assert results[0] is not results[1]
    for count, change in enumerate(
        ("method.neighbors=3", "method.neighbor_share=0.5", "method.power=1", "method.prior=none"), start=2
    ):
        trained(change)
        assert len(calls) == count
    assert torch.equal(trained()[2].memory["propagated"], results[0])
    problem, settings = toy_problem(), checked(*OVERRIDES).settings
    pixels = problem.unlabeled.pixels.flip(3)
    other = dataclasses.replace(problem, unlabeled=dataclasses.replace(problem.unlabeled, pixels=pixels))
    for data in (other, toy_problem(labeled=15)):
        list(train(data, settings, start(data, settings)))
    assert len(calls) == 8
