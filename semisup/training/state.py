"""All that a training works on: the settings that its numbers depend on, the data, and what was learned so far.

Every draw is a function of the seed and the place, so `restore(state, snapshot)` and then `train` continue bit for bit.
"""

import copy
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from semisup.augment import Augment
from semisup.core.ema import start_average
from semisup.core.inference import LabelerSettings
from semisup.core.rng import derive_seed, seed_global
from semisup.core.types import Images, StateDict
from semisup.errors import DivergedError, SettingError, check_range
from semisup.method import LOG_SUMS, Method, TrainingContext
from semisup.model import ModelSettings
from semisup.optimizer import OptimizerSettings
from semisup.runtime.precision import wrap_forward
from semisup.schedule import Schedule
from semisup.threshold import Policy

COUNTERS = ("step", "epoch", "position", "labeled_steps", "evaluated", "averaged")
"""Of a State."""


@dataclass(frozen=True)
class TrainSettings:
    """How long and in what portions.

    epochs: passes over the labeled images, or null where `steps` is given
    steps: optimizer updates in all, whatever they are spent on, or null
    batch_size: images of an optimizer step
    eval_batch_size: images at once where nothing is learned; changes no number but by rounding
    evaluate_every: epochs from one evaluation on the validation set to the next
    evaluate_every_steps: steps instead, or null; runs whose epochs differ then choose among equally many evaluations,
        and what a method evaluates besides does not choose the best model
    ema_decay: in [0, 1), or null = off; the average of the weights is evaluated in place of the student
    ema_warmup: the average forgets faster at first, so that the first weights do not linger in it
    ema_buffers: BatchNorm's statistics are averaged as the weights are, rather than copied
    """

    epochs: int | None
    steps: int | None
    batch_size: int
    eval_batch_size: int
    evaluate_every: int
    evaluate_every_steps: int | None
    ema_decay: float | None
    ema_warmup: bool
    ema_buffers: bool

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1)
        check_range("steps", self.steps, 1)
        if (self.epochs is None) == (self.steps is None):
            raise SettingError("epochs", self.epochs, "exactly one of train.epochs and train.steps must be given")
        check_range("batch_size", self.batch_size, 1)
        check_range("eval_batch_size", self.eval_batch_size, 1)
        check_range("evaluate_every", self.evaluate_every, 1)
        check_range("evaluate_every_steps", self.evaluate_every_steps, 1)
        check_range("ema_decay", self.ema_decay, 0, 0.9999999)


@dataclass(frozen=True)
class TrainingData:
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
class TrainingConfig:
    """What the user chose, as far as the numbers of a training depend on it."""

    seed: int
    precision: str
    channels_last: bool
    compile: bool
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
    memory: StateDict
    sums: Tensor  # (6,) float64 on the device, of the running epoch: method.SUMS
    first_bad_step: Tensor  # () int64 on the device, the first step whose loss was not finite; -1 = none
    step: int = 0
    epoch: int = 0
    position: int = 0
    labeled_steps: int = 0
    evaluated: int = 0  # the step of the last evaluation that was due
    pending_accuracy: float | None = None  # accuracy of an evaluation that the method is still to act upon
    averaged: int = 0  # updates of the average since it was started
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
            **({} if self.pending_accuracy is None else {"unheard": self.pending_accuracy}),
        }


def start(problem: TrainingData, settings: TrainingConfig) -> State:
    """A fresh state: the model's first weights depend on the seed alone."""
    student = _fresh(problem, settings, 0)
    average = start_average(student) if settings.train.ema_decay is not None else None
    for model in (student, average):
        if model is not None:
            wrap_forward(
                model,
                settings.precision,
                problem.device,
                channels_last=settings.channels_last,
                compile=settings.compile,
            )
    state = State(
        student=student,
        average=average,
        optimizer=settings.optimizer.build(student),
        memory={},
        sums=torch.zeros(len(LOG_SUMS), dtype=torch.float64, device=problem.device),
        first_bad_step=torch.tensor(-1, device=problem.device),
    )
    memory = settings.method.init(make_context(problem, settings, state))
    state.memory = {name: value.to(problem.device) for name, value in memory.items()}
    return state


def _fresh(problem: TrainingData, settings: TrainingConfig, round_: int) -> nn.Module:
    """A model with the first weights of this round of the seed."""
    size, channels = problem.labeled.pixels.shape[-1], problem.labeled.pixels.shape[1]
    with torch.random.fork_rng([problem.device] if problem.device.type == "cuda" else []):
        seed_global(derive_seed(settings.seed, "model", round_))
        return settings.model.build(channels, problem.num_classes, size).to(problem.device)


def reinitialize(problem: TrainingData, settings: TrainingConfig, state: State, round_: int) -> None:
    """Forget what the student learned, its optimizer and its average; what the method learned stays."""
    weights = _fresh(problem, settings, round_).state_dict()
    for model in (state.student, state.average):
        if model is not None:
            model.load_state_dict(weights)
    state.averaged = 0
    state.optimizer = settings.optimizer.build(state.student)


def restore(state: State, snapshot: dict[str, Any]) -> None:
    """Put `state` where it was when `snapshot` was taken. A snapshot of another model or method is an error.

    Training changes much of a state in place, so all of it is copied: a snapshot can be restored again. Tensors that
    are one stay one, so that the file of what is restored is that of what was saved, byte for byte.
    """
    device = state.sums.device
    state.student.load_state_dict(snapshot["student"], strict=True)
    if state.average is not None:
        state.average.load_state_dict(snapshot["average"], strict=True)
    state.optimizer.load_state_dict(copy.deepcopy(snapshot["optimizer"]))
    state.memory = {name: value.to(device) for name, value in copy.deepcopy(snapshot["memory"]).items()}
    state.sums = snapshot["sums"].to(device, copy=True)
    for name in COUNTERS:
        setattr(state, name, snapshot[name])
    state.pending_accuracy = snapshot.get("unheard")
    state.best = Best(**snapshot["best"]) if snapshot["best"] else None


def make_context(problem: TrainingData, settings: TrainingConfig, state: State) -> TrainingContext:
    return TrainingContext(
        student=state.student,
        teacher=state.teacher,
        restart=lambda round_: reinitialize(problem, settings, state, round_),
        labeled=problem.labeled,
        unlabeled=problem.unlabeled,
        hidden_targets=problem.hidden_targets,
        num_classes=problem.num_classes,
        augment=settings.augment,
        weak=settings.weak,
        policy=settings.threshold,
        seed=settings.seed,
        batch_size=settings.train.batch_size,
        eval_batch_size=settings.train.eval_batch_size,
    )
