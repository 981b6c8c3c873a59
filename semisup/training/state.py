"""Settings, data and state of the training of one run.

Random draws depend only on the seed and the position in the training. So `restore(state, snapshot)` followed by `train`
is bit-identical to an uninterrupted training.
"""

import copy
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from semisup.augment import Augment
from semisup.core.device import place, sum_dtype
from semisup.core.ema import AveragedTensors, averaged_tensors, start_average
from semisup.core.head_first import HeadFirst
from semisup.core.inference import LabelerSettings
from semisup.core.partial_state import frozen_digest, load_trained_state, trained_state
from semisup.core.rng import derive_seed, seed_global
from semisup.core.types import Images, StateDict
from semisup.debias import Debias
from semisup.errors import DivergedError
from semisup.loss import Loss
from semisup.method import LOG_SUMS, Method, TrainingContext
from semisup.model import ModelSettings
from semisup.optimizer import OptimizerSettings
from semisup.runtime.precision import wrap_forward
from semisup.schedule import Schedule
from semisup.threshold import Policy
from semisup.training.parent import ParentSettings
from semisup.training.settings import TrainSettings

COUNTERS = {
    "step": "step",
    "epoch": "epoch",
    "position": "position",
    "labeled_steps": "labeled_steps",
    "evaluated": "last_eval_step",
    "averaged": "ema_updates",
    "without_improvement": "evaluations_without_improvement",
}
"""Key in a snapshot -> attribute of State."""


@dataclass(frozen=True)
class TrainingData:
    """The data of a run, on its device.

    hidden_targets: (N,) int64, true classes of the unlabeled images, on the CPU; K = none of the classes, -1 = unknown;
        for diagnostics only
    """

    labeled: Images
    unlabeled: Images
    validation: Images
    test: Images
    hidden_targets: Tensor
    num_classes: int
    device: torch.device

    @property
    def judged_by(self) -> Tensor:
        """True classes of the images whose class distribution is compared with that of the pseudo-labels.

        The comparison detects pseudo-labels that belong to only a few classes. The images are the validation images or,
        in a refit, which has none, the labeled images.
        """
        return (self.validation if len(self.validation) else self.labeled).targets


@dataclass(frozen=True)
class TrainingConfig:
    """All settings on which the result of a training depends."""

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
    reject: object  # `semisup.reject.Reject`, except for reject=none
    loss: Loss
    debias: Debias
    method: Method
    labeler: LabelerSettings
    parent: ParentSettings

    @property
    def calibrates(self) -> bool:
        """Whether the run fits a calibration temperature for its pseudo-labels (`labeler.calibrate`)."""
        return self.labeler.calibrate and self.method.uses_unlabeled


@dataclass
class Best:
    """The model of a run with the best validation metric (`train.select_by`); the first one in case of a tie.

    With `train.refit`, it is the last model, and the metrics are None.
    """

    step: int
    epoch: int
    accuracy: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    loss: float | None
    weights: dict[str, Tensor]


@dataclass
class State:
    """State of a training: weights, optimizer, memory of the method, and position in the training.

    `train` changes it in place.
    """

    student: nn.Module
    average: nn.Module | None  # moving average of the student, with train.ema_decay
    optimizer: torch.optim.Optimizer
    memory: StateDict
    running_sums: Tensor  # (6,) `sum_dtype` on the device, since the last evaluation: method.LOG_SUMS
    head_first: HeadFirst  # of the student
    first_bad_step: Tensor  # () int64 on the device, first step whose loss or gradient was not finite; -1 = none
    step: int = 0
    epoch: int = 0
    position: int = 0
    labeled_steps: int = 0
    last_eval_step: int = 0  # step of the last scheduled evaluation
    pending_accuracy: float | None = None  # validation accuracy that the method has yet to act on
    evaluations_without_improvement: int = 0  # scheduled evaluations since the best one
    ema_updates: int = 0  # updates of the average since its start
    rescored: StateDict = field(default_factory=dict)  # new scores of `reject`, until the last labels are reported
    best: Best | None = None
    epoch_started_at: float = field(default_factory=time.monotonic)  # seconds of time.monotonic()
    _averaged_tensors: AveragedTensors | None = None

    @property
    def teacher(self) -> nn.Module:
        """The model that is evaluated, is saved as the best model, and labels the unlabeled set."""
        return self.student if self.average is None else self.average

    def averaged_tensors(self, *, statistics: bool) -> AveragedTensors:
        """Return the tensors of `average` and `student` for an EMA update.

        They are collected at the first call and again after `restore` and `reinitialize`.

        Args:
            statistics: whether to average the statistics of BatchNorm too; must be the same at every call.
        """
        if self._averaged_tensors is None:
            assert self.average is not None
            self._averaged_tensors = averaged_tensors(self.average, self.student, statistics=statistics)
        return self._averaged_tensors

    def forget_averaged_tensors(self) -> None:
        """Collect the tensors for an EMA update again at the next one, because a model may have other tensors now."""
        self._averaged_tensors = None

    def check_finite(self, value: Tensor, step: int) -> None:
        """Record in `first_bad_step` whether a value of a step is finite.

        Args:
            value: () float on the device.
            step: number of the step, from 1.
        """
        bad = ~torch.isfinite(value) & (self.first_bad_step < 0)
        self.first_bad_step = torch.where(bad, step, self.first_bad_step)

    def check(self) -> None:
        """Check that all losses and gradients so far were finite.

        Raises:
            DivergedError: a loss or gradient was not finite.
        """
        if (step := int(self.first_bad_step)) >= 0:
            raise DivergedError(step)

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the training as tensors and plain data, for a checkpoint.

        The tensors are not copied, so they must be saved before the next training step.

        Raises:
            DivergedError: a loss or gradient was not finite.
        """
        self.check()
        counters = {key: getattr(self, name) for key, name in COUNTERS.items()}
        average = trained_state(self.average) if self.average is not None else {}
        frozen = {} if (digest := frozen_digest(self.student)) is None else {"frozen_sha256": digest}
        return counters | {
            "student": trained_state(self.student),
            "average": average,
            "optimizer": self.optimizer.state_dict(),
            "memory": self.memory,
            "sums": self.running_sums,
            "best": vars(self.best) | frozen if self.best else None,
            **frozen,
            **({} if self.pending_accuracy is None else {"unheard": self.pending_accuracy}),
        }


def start(problem: TrainingData, settings: TrainingConfig) -> State:
    """Create the state of a training before its first step."""
    student = _build_model(problem, settings, 0)
    average = start_average(student) if settings.train.ema_decay is not None else None
    for model in (student, average):
        if model is not None:
            wrap_forward(
                model,
                settings.precision,
                problem.device,
                channels_last=settings.channels_last,
                compile=settings.compile,
                parts=settings.train.accumulate,
            )
    state = State(
        student=student,
        average=average,
        optimizer=settings.optimizer.build(student),
        head_first=HeadFirst(student, settings.train.head_first),
        memory={},
        running_sums=torch.zeros(len(LOG_SUMS), dtype=sum_dtype(problem.device), device=problem.device),
        first_bad_step=torch.tensor(-1, device=problem.device),
    )
    memory = settings.method.init(make_context(problem, settings, state))
    state.memory = {name: place(value, problem.device) for name, value in memory.items()}
    return state


def _build_model(problem: TrainingData, settings: TrainingConfig, round_: int) -> nn.Module:
    """Build a model with the initial weights of a round (Noisy Student has several rounds).

    With a parent run (`from.run`), these are the weights of the parent run. Otherwise they are drawn at random,
    depending on the seed and the round.
    """
    size, channels = problem.labeled.pixels.shape[-1], problem.labeled.pixels.shape[1]
    with torch.random.fork_rng([problem.device] if problem.device.type == "cuda" else []):
        seed_global(derive_seed(settings.seed, "model", round_))
        model = settings.model.build(channels, problem.num_classes, size)
    settings.parent.load(model)
    return model.to(problem.device)


def reinitialize(problem: TrainingData, settings: TrainingConfig, state: State, round_: int) -> None:
    """Reinitialize the student, its average and the optimizer for a round; leave the method's memory unchanged."""
    weights = _build_model(problem, settings, round_).state_dict()
    for model in (state.student, state.average):
        if model is not None:
            model.load_state_dict(weights)
    state.forget_averaged_tensors()
    state.head_first.end()  # so that the new optimizer gets all trained parameters
    state.ema_updates = 0
    state.optimizer = settings.optimizer.build(state.student)


def restore(state: State, snapshot: dict[str, Any]) -> None:
    """Restore the state of a training from a snapshot of the same model and method; the snapshot is copied.

    Raises:
        RuntimeError: the frozen layers of the snapshot had other pretrained weights.
    """
    # deepcopy keeps tensors that share storage together, so that saving a restored state gives the same bytes
    device = state.running_sums.device
    if (digest := snapshot.get("frozen_sha256")) != frozen_digest(state.student):
        raise RuntimeError(f"the state was saved with other pretrained weights (sha256 {digest})")
    load_trained_state(state.student, snapshot["student"])
    if state.average is not None:
        load_trained_state(state.average, snapshot["average"])
    state.forget_averaged_tensors()
    state.optimizer.load_state_dict(copy.deepcopy(snapshot["optimizer"]))
    state.memory = {name: place(value, device) for name, value in copy.deepcopy(snapshot["memory"]).items()}
    state.running_sums = place(snapshot["sums"].clone(), device)
    for key, name in COUNTERS.items():
        setattr(state, name, snapshot[key])
    state.pending_accuracy = snapshot.get("unheard")
    best = snapshot["best"]
    state.best = Best(**{name: best[name] for name in Best.__dataclass_fields__}) if best else None


def make_context(problem: TrainingData, settings: TrainingConfig, state: State) -> TrainingContext:
    """Collect the settings, data and models that are passed to the functions of a method."""
    return TrainingContext(
        student=state.student,
        teacher=state.teacher,
        restart=lambda round_: reinitialize(problem, settings, state, round_),
        labeled=problem.labeled,
        unlabeled=problem.unlabeled,
        hidden_targets=problem.hidden_targets,
        validation_targets=problem.validation.targets,
        num_classes=problem.num_classes,
        augment=settings.augment,
        weak=settings.weak,
        policy=settings.threshold,
        loss=settings.loss,
        debias=settings.debias,
        teachers=settings.labeler.teachers,
        seed=settings.seed,
        batch_size=settings.train.batch_size,
        eval_batch_size=settings.train.eval_batch_size,
    )
