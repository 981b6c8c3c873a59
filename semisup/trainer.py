"""The training loop: computes and yields events; writes nothing, prints nothing.

    state = start(problem, settings)
    for event in train(problem, settings, state):
        ...                                     # `state.snapshot()` is whole at StepDone and EpochDone

All that a training needs to go on is in State, and every draw is a function of the seed and the place, so
`restore(state, snapshot)` and `train` continue bit for bit.
"""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from semisup.augment import Augment
from semisup.calibration import expected_calibration_error, fit_temperature
from semisup.ema import start_average, update_average
from semisup.errors import DivergedError, SettingError, in_range
from semisup.evaluation import evaluate
from semisup.events import EpochDone, Evaluated, Event, Finished, StepDone
from semisup.labeler import TEMPERATURE, LabelerSettings
from semisup.method import SUMS, Learner, Method, Place
from semisup.model import ModelSettings
from semisup.optimizer import OptimizerSettings
from semisup.schedule import Schedule
from semisup.seeding import derive
from semisup.shapes import Images, Memory, Reliability
from semisup.threshold import Policy
from semisup.what_if import goals

Metrics = dict[str, float | int | None]

COUNTERS = ("step", "epoch", "position", "labeled_steps", "evaluated")
"""Of a State."""


@dataclass(frozen=True)
class TrainSettings:
    """How long and in what portions.

    epochs: passes over the labeled images, or null where `steps` is given
    steps: optimizer updates in all, whatever they are spent on, or null
    batch_size: images of an optimizer step
    scoring_batch_size: images at once where nothing is learned; changes no number but by rounding
    evaluate_every: epochs from one evaluation on the validation set to the next
    evaluate_every_steps: steps instead, or null; runs whose epochs differ then choose among equally many evaluations,
        and what a method evaluates besides does not choose the best model
    ema_decay: in [0, 1), or null = off; the average of the weights is evaluated in place of the student
    """

    epochs: int | None
    steps: int | None
    batch_size: int
    scoring_batch_size: int
    evaluate_every: int
    evaluate_every_steps: int | None
    ema_decay: float | None

    def __post_init__(self) -> None:
        in_range("epochs", self.epochs, 1)
        in_range("steps", self.steps, 1)
        if (self.epochs is None) == (self.steps is None):
            raise SettingError("epochs", self.epochs, "exactly one of train.epochs and train.steps must be given")
        in_range("batch_size", self.batch_size, 1)
        in_range("scoring_batch_size", self.scoring_batch_size, 1)
        in_range("evaluate_every", self.evaluate_every, 1)
        in_range("evaluate_every_steps", self.evaluate_every_steps, 1)
        in_range("ema_decay", self.ema_decay, 0, 0.9999999)


@dataclass(frozen=True)
class Problem:
    """The data of a run, on its device.

    hidden_targets: (N,) int64, true classes of the unlabeled images or -1; on the CPU, for diagnostics only.
    """

    labeled: Images
    unlabeled: Images
    validation: Images
    test: Images
    hidden_targets: Tensor
    num_classes: int
    device: torch.device


@dataclass(frozen=True)
class Settings:
    """What the user chose, as far as the numbers of a training depend on it."""

    seed: int
    precision: str
    train: TrainSettings
    model: ModelSettings
    augment: Augment
    weak: Augment
    optimizer: OptimizerSettings
    schedule: Schedule
    threshold: Policy
    method: Method
    labeler: LabelerSettings

    @property
    def calibrates(self) -> bool:
        """Whether a temperature is fitted: without unlabeled images it could not matter."""
        return self.labeler.calibrate and self.method.uses_unlabeled


@dataclass
class Best:
    """The model that the validation set chose: the first of the highest accuracy."""

    step: int
    epoch: int
    accuracy: float
    loss: float
    weights: dict[str, Tensor]


@dataclass
class State:
    """All that was learned and where the training stands. Changed in place by `train`, and by nothing else."""

    student: nn.Module
    average: nn.Module | None  # of the student's weights, with train.ema_decay
    optimizer: torch.optim.Optimizer
    memory: Memory
    sums: Tensor  # (6,) float64 on the device, of the running epoch: method.SUMS
    first_bad_step: Tensor  # () int64 on the device, the first step whose loss was not finite; -1 = none
    step: int = 0
    epoch: int = 0
    position: int = 0
    labeled_steps: int = 0
    evaluated: int = 0  # the step of the last evaluation that was due
    best: Best | None = None
    started: float = field(default_factory=time.monotonic)  # of the running epoch

    @property
    def teacher(self) -> nn.Module:
        """The model whose word counts: it is evaluated, kept as the best, and labels the pool."""
        return self.student if self.average is None else self.average

    def check(self) -> None:
        """Raise DivergedError if a loss was not finite. Waits for the device."""
        if (step := int(self.first_bad_step)) >= 0:
            raise DivergedError(step)

    def snapshot(self) -> dict[str, Any]:
        """Tensors and plain data only; shares memory with the state, so write it before going on.

        Raises:
            DivergedError: there is nothing worth keeping.
        """
        self.check()
        counters = {name: getattr(self, name) for name in COUNTERS}
        average = self.average.state_dict() if self.average is not None else {}
        return counters | {
            "student": self.student.state_dict(),
            "average": average,
            "optimizer": self.optimizer.state_dict(),
            "memory": self.memory,
            "sums": self.sums,
            "best": vars(self.best) if self.best else None,
        }


def start(problem: Problem, settings: Settings) -> State:
    """A fresh state: the model's first weights depend on the seed alone."""
    student = _fresh(problem, settings, 0)
    average = start_average(student) if settings.train.ema_decay is not None else None
    for model in (student, average):
        if model is not None:
            set_precision(model, settings.precision, problem.device)
    state = State(
        student=student,
        average=average,
        optimizer=settings.optimizer.build(student),
        memory={},
        sums=torch.zeros(len(SUMS), dtype=torch.float64, device=problem.device),
        first_bad_step=torch.tensor(-1, device=problem.device),
    )
    memory = settings.method.init(_learner(problem, settings, state))
    state.memory = {name: value.to(problem.device) for name, value in memory.items()}
    return state


def set_precision(model: nn.Module, precision: str, device: torch.device) -> None:
    """With bfloat16 every forward pass of this model is autocast, whoever calls it."""
    if precision == "bfloat16":
        autocast = torch.autocast(device.type, dtype=torch.bfloat16)
        setattr(model, "forward", autocast(model.forward))  # noqa: B010  # its own, not its class's


def _fresh(problem: Problem, settings: Settings, round_: int) -> nn.Module:
    """A model with the first weights of this round of the seed."""
    size, channels = problem.labeled.pixels.shape[-1], problem.labeled.pixels.shape[1]
    with torch.random.fork_rng():
        torch.manual_seed(derive(settings.seed, "model", round_))
        return settings.model.build(channels, problem.num_classes, size).to(problem.device)


def _restart(problem: Problem, settings: Settings, state: State, round_: int) -> None:
    """Forget what the student learned, its optimizer and its average; what the method learned stays."""
    weights = _fresh(problem, settings, round_).state_dict()
    for model in (state.student, state.average):
        if model is not None:
            model.load_state_dict(weights)
    state.optimizer = settings.optimizer.build(state.student)


def restore(state: State, snapshot: dict[str, Any]) -> None:
    """Put `state` where it was when `snapshot` was taken. A snapshot of another model or method is an error."""
    device = state.sums.device
    state.student.load_state_dict(snapshot["student"], strict=True)
    if state.average is not None:
        state.average.load_state_dict(snapshot["average"], strict=True)
    state.optimizer.load_state_dict(snapshot["optimizer"])
    state.memory = {name: value.to(device) for name, value in snapshot["memory"].items()}
    state.sums = snapshot["sums"].to(device)
    for name in COUNTERS:
        setattr(state, name, snapshot[name])
    state.best = Best(**snapshot["best"]) if snapshot["best"] else None


def train(problem: Problem, settings: Settings, state: State) -> Iterator[Event]:
    """Train until the epochs or steps are done, from wherever `state` is; the last event is Finished.

    Raises:
        DivergedError: a loss was not finite; said at the end of the epoch at the latest.
    """
    learner = _learner(problem, settings, state)
    method, plan = settings.method, settings.train
    while not _done(plan, state):
        steps = method.steps_in_epoch(learner, state.memory)
        while state.position < steps and not _spent(plan, state):
            if _due_by_step(plan, state):
                yield from _evaluate_now(problem, settings, learner, state, chooses=True)
                state.memory = yield from method.report(learner, state.memory, _place(plan, state, steps))
            _step(learner, settings, state, _place(plan, state, steps))
            yield StepDone(state.step, state.epoch)
        state.check()
        state.epoch, state.position = state.epoch + 1, 0
        due = _due_by_step(plan, state) or _due_by_epoch(plan, state) or _done(plan, state)
        if due or method.wants_evaluation(state.epoch):
            accuracy = yield from _evaluate_now(problem, settings, learner, state, chooses=due)
            state.memory = yield from method.report(learner, state.memory, _place(plan, state, steps))
            if not _done(plan, state):
                place = _place(plan, state, steps)
                state.memory = yield from method.after_evaluation(learner, state.memory, place, accuracy)
                state.started = time.monotonic()
        yield EpochDone(state.step, state.epoch)
    yield from _finish(problem, settings, state)


def _learner(problem: Problem, settings: Settings, state: State) -> Learner:
    return Learner(
        student=state.student,
        teacher=state.teacher,
        restart=lambda round_: _restart(problem, settings, state, round_),
        labeled=problem.labeled,
        unlabeled=problem.unlabeled,
        hidden_targets=problem.hidden_targets,
        num_classes=problem.num_classes,
        augment=settings.augment,
        weak=settings.weak,
        policy=settings.threshold,
        seed=settings.seed,
        batch_size=settings.train.batch_size,
        scoring_batch_size=settings.train.scoring_batch_size,
    )


def _spent(plan: TrainSettings, state: State) -> bool:
    return plan.steps is not None and state.step >= plan.steps


def _done(plan: TrainSettings, state: State) -> bool:
    """Whether the last epoch is over, its evaluation included: only between two epochs."""
    last = _spent(plan, state) or (plan.epochs is not None and state.epoch >= plan.epochs)
    return last and state.position == 0


def _place(plan: TrainSettings, state: State, steps_in_epoch: int) -> Place:
    if plan.steps is not None:
        progress = state.step / plan.steps
    else:
        progress = (state.epoch + state.position / steps_in_epoch) / (plan.epochs or 1)
    return Place(state.step, state.epoch, state.position, progress)


def _step(learner: Learner, settings: Settings, state: State, place: Place) -> None:
    """One optimizer update. Nothing here waits for the device, unless the method looks at what is kept only."""
    torch.manual_seed(derive(settings.seed, "forward", place.step))  # dropout, stochastic depth
    rate = settings.optimizer.lr * settings.schedule.factor(place.progress)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]
    state.student.train()
    losses, state.memory = settings.method.loss(learner, state.memory, place)
    state.optimizer.zero_grad(set_to_none=True)
    losses.total.backward()
    state.optimizer.step()
    if state.average is not None:
        update_average(state.average, state.student, settings.train.ema_decay or 0.0)
    state.sums += losses.sums
    bad = ~torch.isfinite(losses.total.detach()) & (state.first_bad_step < 0)
    state.first_bad_step = torch.where(bad, place.step + 1, state.first_bad_step)
    state.step += 1
    state.position += 1


def _due_by_step(plan: TrainSettings, state: State) -> bool:
    every = plan.evaluate_every_steps
    return every is not None and state.step // every > state.evaluated // every


def _due_by_epoch(plan: TrainSettings, state: State) -> bool:
    return plan.evaluate_every_steps is None and state.epoch % plan.evaluate_every == 0


def _evaluate_now(
    problem: Problem, settings: Settings, learner: Learner, state: State, *, chooses: bool
) -> Generator[Event, None, float]:
    """Evaluate the teacher on the validation set; with `chooses` it may become the best model.

    Raises:
        DivergedError: its loss is not finite: the weights are beyond use, and are not saved.
    """
    trained = time.monotonic()
    state.check()
    found = evaluate(state.teacher, problem.validation, problem.num_classes, learner.scoring_batch_size)
    if not math.isfinite(found.loss):
        raise DivergedError(state.step)
    accuracy = found.accuracy
    improved = chooses and (state.best is None or accuracy > state.best.accuracy)
    if improved:
        weights = {name: value.detach().clone() for name, value in state.teacher.state_dict().items()}
        state.best = Best(state.step, state.epoch, accuracy, found.loss, weights)
    temperature = fit_temperature(found.logits, found.targets) if settings.calibrates else 1.0
    metrics: Metrics = _epoch_metrics(state) | {
        "val/loss": found.loss,
        "val/accuracy": accuracy,
        "val/ece": expected_calibration_error(found.reliability(1.0)),
        "lr": max(float(group["lr"]) for group in state.optimizer.param_groups),
        "train_seconds": trained - state.started,
        "val_seconds": time.monotonic() - trained,
    }
    if settings.calibrates:
        state.memory = state.memory | {TEMPERATURE: state.memory[TEMPERATURE].new_tensor(temperature)}
        after = expected_calibration_error(found.reliability(temperature))
        metrics |= {TEMPERATURE: temperature, "val/ece_calibrated": after}
    state.started = time.monotonic()
    if chooses:
        state.evaluated = state.step
    what_if = found.what_if(temperature) if settings.method.uses_unlabeled else None
    yield Evaluated(state.step, state.epoch, metrics, improved, what_if)
    return accuracy


def _epoch_metrics(state: State) -> Metrics:
    """The means over the steps since the last evaluation; resets them."""
    sums = dict(zip(SUMS, state.sums.tolist(), strict=True))
    state.sums.zero_()
    state.labeled_steps += int(sums["labeled_steps"])
    labeled, unlabeled = sums["labeled_images"], sums["unlabeled_images"]
    return {
        "train/loss": sums["labeled_loss"] / labeled if labeled else None,
        "train/accuracy": sums["labeled_correct"] / labeled if labeled else None,
        "train/unlabeled_loss": sums["unlabeled_loss"] / unlabeled if unlabeled else None,
    }


def _finish(problem: Problem, settings: Settings, state: State) -> Iterator[Event]:
    """Read the test set, for the first and only time, with the model that validation chose."""
    best = state.best
    assert best is not None, "the last epoch is always evaluated"
    model, batch_size = state.teacher, settings.train.scoring_batch_size
    end = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best.weights)
    summary: Metrics = {
        "steps": state.step,
        "epochs": state.epoch,
        "labeled_steps": state.labeled_steps,
        "best/step": best.step,
        "best/epoch": best.epoch,
        "best/val/accuracy": best.accuracy,
        "best/val/loss": best.loss,
    }
    found = {
        split: evaluate(model, images, problem.num_classes, batch_size)
        for split, images in (("validation", problem.validation), ("test", problem.test))
        if bool((images.targets >= 0).any())
    }
    model.load_state_dict(end)  # the state is that of the last step again
    validation = found["validation"]
    temperature = fit_temperature(validation.logits, validation.targets)
    what_if = validation.what_if(temperature if settings.calibrates else 1.0)
    bins = {split: (each.reliability(1.0), each.reliability(temperature)) for split, each in found.items()}
    summary |= _calibration("best/val", *bins["validation"]) | {"best/temperature": temperature} | goals(what_if)
    if test := found.get("test"):
        summary |= {"test/accuracy": test.accuracy, "test/loss": test.loss} | _calibration("test", *bins["test"])
    confusion = {split: each.confusion.tolist() for split, each in found.items()}
    said = {split: each.predictions(getattr(problem, split)) for split, each in found.items()}
    yield Finished(state.step, state.epoch, summary, confusion, bins, what_if, said)


def _calibration(name: str, before: Reliability, after: Reliability) -> Metrics:
    """How far confidence is from accuracy, as the model is and with the temperature that fits validation."""
    return {
        f"{name}/ece": expected_calibration_error(before),
        f"{name}/ece_calibrated": expected_calibration_error(after),
    }
