"""The control is the run with lambda_unlabeled=0: equal to the run in everything that needs no unlabeled image."""

import dataclasses
import types
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch

from semisup.config import schema
from semisup.config.controls import control_config
from semisup.core.events import PoolLabeled, StepEnd
from semisup.core.rng import numpy_generator, torch_generator
from semisup.method import OfflineMethod, Position
from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import checked, choose, options, toy_problem

STEPS = 12  # 4 epochs of 3 steps
SEMI = [name for name in options("method") if name != "supervised"]


class LabeledStep(NamedTuple):
    """What one step does to the labeled images; `before_labeling`: no pseudo-label exists yet (offline methods)."""

    index: list[int]
    view: torch.Tensor
    learning_rate: float
    ema_decay: float
    before_labeling: bool


def labeled_steps(config: schema.RunConfig, problem: Any = None) -> list[LabeledStep]:
    """Train, and record the labeled steps: the images drawn, the pixels fed to the student, the rates."""
    problem = problem or toy_problem()
    state = start(problem, config.settings)
    indices: list[torch.Tensor] = []
    inputs: list[torch.Tensor] = []
    decays: list[float] = []
    steps: list[LabeledStep] = []
    labeled = False
    with pytest.MonkeyPatch.context() as patch:
        from semisup.core.sampling import epoch_batch
        from semisup.training.step import update_average

        def record_index(*args: Any) -> torch.Tensor:
            indices.append(epoch_batch(*args))
            return indices[-1]

        def record_decay(tensors: Any, decay: float) -> None:
            decays.append(decay)
            update_average(tensors, decay)

        def record_input(module: Any, args: tuple[torch.Tensor]) -> None:
            if torch.is_grad_enabled():
                inputs.append(args[0].detach())

        patch.setattr("semisup.method._protocol.epoch_batch", record_index)
        patch.setattr("semisup.training.step.update_average", record_decay)
        state.student.register_forward_pre_hook(record_input)
        for event in train(problem, config.settings, state):
            labeled = labeled or isinstance(event, PoolLabeled)
            if not isinstance(event, StepEnd):
                continue
            if indices:
                index = indices[0].tolist()
                rate = float(state.optimizer.param_groups[0]["lr"])
                steps.append(LabeledStep(index, inputs[0][: len(index)], rate, decays[-1], not labeled))
            indices.clear()
            inputs.clear()
    return steps


def a_run(method: str, policy: str, **more: object) -> schema.RunConfig:
    """A run whose learning rate, weight average and views change at every step; mixmatch mixes next to nothing."""
    return checked(
        *("model.widths=[8,16]", "train.batch_size=4", f"train.steps={STEPS}", "augment=randaugment"),
        *("schedule=cosine", "schedule.warmup=0.2", "train.ema_decay=0.9", "train.ema_warmup=true"),
        *choose("method", method, gate=0, refresh_every=3, alpha=1e-6, **more),
        *choose("threshold", policy, warmup_epochs=1),
    )


def control_of(config: schema.RunConfig) -> schema.RunConfig:
    return schema.validate(control_config(config.config, {"steps": STEPS}))


@cache
def control_steps(method: str) -> list[LabeledStep]:
    return labeled_steps(control_of(a_run(method, "fixed")))


@pytest.mark.parametrize("policy", options("threshold"))
@pytest.mark.parametrize("method", SEMI)
def test_every_labeled_step_of_a_run_equals_its_controls(method: str, policy: str) -> None:
    config = a_run(method, policy)
    run, control = labeled_steps(config), control_steps(method)
    assert len(control) == STEPS
    offline = isinstance(config.settings.method, OfflineMethod)
    comparable = [step for step in run if step.before_labeling] if offline else run
    assert len(comparable) >= 3 if offline else len(comparable) == STEPS
    for own, other in zip(comparable, control, strict=False):
        assert own.index == other.index
        assert torch.equal(own.view, other.view)
        assert own.learning_rate == other.learning_rate
        assert own.ema_decay == other.ema_decay
    assert len({step.learning_rate for step in control}) > 3
    # Once an epoch has pseudo-labeled steps, the same labeled batches come later, under other rates and views.
    assert [step.index for step in run] == [step.index for step in control[: len(run)]]


@pytest.mark.parametrize("method", SEMI)
def test_control_uses_no_unlabeled_image(method: str) -> None:
    class Unreadable:
        """Pixels that must not be read."""

        def __init__(self, pixels: torch.Tensor) -> None:
            self.shape, self.device = pixels.shape, pixels.device

        def __len__(self) -> int:
            return self.shape[0]

        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("an unlabeled image was read")

        split = __getitem__

    problem = toy_problem()
    unreadable = dataclasses.replace(problem.unlabeled, pixels=Unreadable(problem.unlabeled.pixels))
    closed = dataclasses.replace(problem, unlabeled=unreadable)
    assert len(labeled_steps(control_of(a_run(method, "fixed")), closed)) == STEPS
    with pytest.raises(AssertionError, match="an unlabeled image was read"):
        labeled_steps(a_run(method, "fixed"), closed)


def test_control_of_mixmatch_mixes_the_labeled_images_with_each_other() -> None:
    settings = a_run("mixmatch", "fixed", lambda_unlabeled=0)
    alpha = 0.75
    mixing = dataclasses.replace(settings.settings.method, alpha=alpha)
    config = dataclasses.replace(settings, settings=dataclasses.replace(settings.settings, method=mixing))
    for step, (mixed, unmixed) in enumerate(zip(labeled_steps(config), control_steps("mixmatch"), strict=True)):
        order = torch.randperm(4, generator=torch_generator(0, "mixup", "order", step))
        share = numpy_generator(0, "mixup", "share", step).beta(alpha, alpha)
        share = max(share, 1 - share)
        torch.testing.assert_close(mixed.view, share * unmixed.view + (1 - share) * unmixed.view[order])
        assert mixed.index == unmixed.index


def test_control_of_uda_anneals_the_training_signal() -> None:
    losses = []
    for tsa in ("none", "exp"):
        config, problem = a_run("uda", "fixed", lambda_unlabeled=0, tsa=tsa), toy_problem()
        state = start(problem, config.settings)
        rows = [event.row() or {} for event in train(problem, config.settings, state)]
        losses.append([row["train/loss"] for row in rows if "train/loss" in row])
    assert losses[0] != losses[1]


def test_control_of_noisy_student_restarts_above_the_gate() -> None:
    """Restarts reset the weight average, so that its decay starts again at 1/10."""
    decays = [step.ema_decay for step in control_steps("noisy_student")]
    assert [number for number, decay in enumerate(decays) if decay == 0.1] == [0, 9], "after epoch 3 = refresh_every"
    config = control_of(a_run("noisy_student", "fixed"))
    closed = dataclasses.replace(config.settings.method, gate=1.0)
    unchanged = dataclasses.replace(config, settings=dataclasses.replace(config.settings, method=closed))
    assert [step.ema_decay for step in labeled_steps(unchanged)].count(0.1) == 1


def test_noisy_student_does_not_restart_at_an_accuracy_that_is_not_a_number() -> None:
    method: Any = control_of(a_run("noisy_student", "fixed")).settings.method
    restarts: list[int] = []
    training: Any = types.SimpleNamespace(restart=restarts.append, validation_targets=torch.zeros(0))
    rounds = method.on_evaluation(training, {"round": torch.zeros(())}, Position(0, 3, 0, 0.5), float("nan"))
    with pytest.raises(StopIteration):
        next(rounds)
    assert restarts == []


def test_noisy_student_and_its_control_restart_after_the_same_labeled_steps() -> None:
    """The run's epochs have pseudo-labeled steps too, so that it restarts less often in the same number of steps."""
    run, control = (
        [number for number, step in enumerate(steps) if step.ema_decay == 0.1]
        for steps in (labeled_steps(longer_noisy_student(1)), labeled_steps(longer_noisy_student(0)))
    )
    assert len(run) >= 3
    assert len(control) > len(run)
    assert control[: len(run)] == run


def longer_noisy_student(weight: float) -> schema.RunConfig:
    config = a_run("noisy_student", "fixed", lambda_unlabeled=weight).config
    method, threshold = config["method"] | {"refresh_every": 2}, config["threshold"] | {"tau": 0.2}
    train = config["train"] | {"steps": 60}
    return schema.validate(config | {"method": method, "threshold": threshold, "train": train})


@pytest.mark.parametrize("policy", options("threshold"))
def test_strong_views_of_labeled_images_equal_the_controls(policy: str) -> None:
    """With `strong_labeled` the labeled part of a step is the weak views, then the strong views."""
    config = a_run("fixmatch", policy, strong_labeled=True)
    run, control = labeled_views(config), labeled_views(control_of(config))
    assert len(run) == len(control) == STEPS
    for own, other in zip(run, control, strict=True):
        assert own.shape[0] == 8
        assert torch.equal(own, other)
        assert not torch.equal(own[:4], own[4:])


def labeled_views(config: schema.RunConfig) -> list[torch.Tensor]:
    """The first eight images of the student's input at every step."""
    problem = toy_problem()
    state = start(problem, config.settings)
    inputs: list[torch.Tensor] = []
    steps: list[torch.Tensor] = []

    def record_input(module: Any, args: tuple[torch.Tensor]) -> None:
        if torch.is_grad_enabled():
            inputs.append(args[0].detach())

    state.student.register_forward_pre_hook(record_input)
    for event in train(problem, config.settings, state):
        if isinstance(event, StepEnd):
            steps.append(inputs[0][:8])
            inputs.clear()
    return steps


@pytest.mark.parametrize("tsa", ["linear", "log", "exp"])
def test_annealing_leaves_out_the_same_images_in_run_and_control(tsa: str) -> None:
    """At the first step the weights of run and control are equal, and so is their labeled loss; without it, another."""

    def first_loss(weight: float, tsa: str) -> float:
        config, problem = a_run("uda", "fixed", lambda_unlabeled=weight, tsa=tsa, ramp=0), toy_problem()
        training = config.config["train"] | {"steps": 1, "evaluate_every_steps": 1}
        one = schema.validate(config.config | {"train": training}).settings
        rows = [event.row() or {} for event in train(problem, one, start(problem, one))]
        return next(float(row["train/loss"]) for row in rows if row.get("train/loss") is not None)

    assert first_loss(1e-12, tsa) == first_loss(0, tsa) != first_loss(0, "none")
