"""Methods: how pseudo-labels are made and used.

A method is settings and functions; what it learns is a Memory that it returns. The trainer owns the model,
the optimizer and the clock; a method says how many steps an epoch has, what the loss of a step is, and
what happens when an epoch was evaluated.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from semisup.augment import Augment
from semisup.core.device import to_device
from semisup.core.events import Event
from semisup.core.inference import apply_temperature, iter_logits, predict
from semisup.core.rng import derive_seed, seed_global, torch_generator
from semisup.core.sampling import epoch_batch, gather_images
from semisup.core.types import Images, LabeledPredictions, PolicyContext, StateDict
from semisup.runtime import distributed
from semisup.threshold import Policy


class Position(NamedTuple):
    """Where in the training a step is.

    step: optimizer updates done before it
    epoch: labeled passes completed before it
    position: steps of this epoch done before it
    progress: share of the training done before it, in [0, 1]
    """

    step: int
    epoch: int
    position: int
    progress: float


@dataclass(frozen=True)
class TrainingContext:
    """What every method works with. `student` learns, `teacher` (it, or the average of its weights) labels the pool;
    the images are where the device reaches them; `restart(round)` gives the student fresh weights."""

    student: nn.Module
    teacher: nn.Module
    restart: Callable[[int], None]
    labeled: Images
    unlabeled: Images
    hidden_targets: Tensor  # (N,) int64 in [0, K) or -1: for diagnostics only, on the CPU
    num_classes: int
    augment: Augment  # in training; of the strong views
    weak: Augment
    policy: Policy
    seed: int
    batch_size: int
    eval_batch_size: int

    def view(self, augment: Augment, pixels: Tensor, name: str, step: int) -> Tensor:
        """(n, C, S, S) float: the images, augmented by the draws that belong to (name, step)."""
        return augment.apply(pixels, torch_generator(self.seed, "augment", name, step))

    def labeled_batch(self, position: Position, augment: Augment) -> tuple[Tensor, Tensor]:
        """Augmented images (n, C, S, S) and classes (n,) of the labeled batch of this place; n <= batch_size."""
        images = self.labeled
        index = epoch_batch(self.seed, "labeled", position.epoch, len(images), self.batch_size, position.position)
        pixels, index = gather_images(images, index), to_device(index, images.targets.device)
        return self.view(augment, pixels, "labeled", position.step), images.targets[index]

    def context(self, position: Position, memory: StateDict) -> PolicyContext:
        """What the policy may know of this place; by rounds the whole labeled set is scored, if it asks for that."""
        if not self.policy.uses_labeled:
            return PolicyContext(position.progress)
        batches = iter_logits(self.teacher, self.labeled.pixels, self.eval_batch_size)
        logits = apply_temperature(torch.cat(list(batches)), memory)
        return PolicyContext(position.progress, LabeledPredictions(predict(logits).probabilities, self.labeled.targets))


def seed_dropout(seed: int, step: int) -> None:
    """What the model itself draws at a step, dropout and stochastic depth: other draws on every process."""
    which = (distributed.rank(),) if distributed.world_size() > 1 else ()
    seed_global(derive_seed(seed, "forward", step, *which))


class StepLoss(NamedTuple):
    """What one step minimizes, and what the log wants to know of it without waiting for the device.

    total: () float with gradient
    sums: (len(SUMS),) float64, added up over an epoch: see SUMS
    """

    total: Tensor
    sums: Tensor


LOG_SUMS = ("labeled_loss", "labeled_correct", "labeled_images", "labeled_steps", "unlabeled_loss", "unlabeled_images")


def make_sums(like: Tensor, **values: Tensor | float) -> Tensor:
    """(len(SUMS),) float64 on the device of `like`: the named ones, and 0."""
    sums = torch.zeros(len(LOG_SUMS), dtype=torch.float64, device=like.device)
    for name, value in values.items():
        sums[LOG_SUMS.index(name)].fill_(value)  # a number put in by [] = is sent to a GPU, and waited for
    return sums


def labeled_sums(loss: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """SUMS of a step on n labeled images with mean loss `loss` ()."""
    correct = (logits.argmax(dim=1) == targets).sum()
    count = len(targets)
    return make_sums(
        loss, labeled_loss=loss.detach() * count, labeled_correct=correct, labeled_images=count, labeled_steps=1
    )


def unlabeled_sums(loss: Tensor, count: int) -> Tensor:
    """SUMS of the unlabeled part of a step with mean loss `loss` () over `count` images."""
    return make_sums(loss, unlabeled_loss=loss.detach() * count, unlabeled_images=count)


class Method(Protocol):
    """What every method does."""

    uses_unlabeled: ClassVar[bool]  # False: neither the unlabeled images nor the threshold policy can matter
    uses_weak: ClassVar[bool]  # False: the weak augmentation cannot matter

    @property
    def needs_ema(self) -> bool:
        """Whether it works only with train.ema_decay."""
        ...

    def init(self, training: TrainingContext) -> StateDict:
        """The memory before the first step."""
        ...

    def steps_in_epoch(self, training: TrainingContext, memory: StateDict) -> int:
        """Optimizer steps of an epoch that starts with this memory."""
        ...

    def loss(self, training: TrainingContext, memory: StateDict, position: Position) -> tuple[StepLoss, StateDict]:
        """The loss of one step. The student is in training mode."""
        ...

    def needs_evaluation(self, epoch: int) -> bool:
        """Whether `on_evaluation` may have something to do when `epoch` epochs are done."""
        ...

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        """What follows an evaluation with this validation accuracy; yields what is worth telling.

        `place.epoch` counts the epoch just done.
        """
        ...

    def report(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> Generator[Event, None, StateDict]:
        """What there is to tell at every evaluation, in the middle of an epoch too; no number depends on it."""
        ...


@runtime_checkable
class OfflineMethod(Protocol):
    """A method that learns from labels alone, and does not ask the policy, until it first labels the pool: up to there
    the policy has no more than its own `init`, and cannot matter."""

    later: ClassVar[tuple[str, ...]]  # settings of the method that cannot matter before that either

    def uses_pseudo_labels(self) -> bool:
        """Whether there can be a first time; then alone the above holds."""
        ...

    def has_pseudo_labels(self, memory: StateDict) -> bool:
        """Whether the pool was labeled."""
        ...

    def will_relabel(self, training: TrainingContext, position: Position, accuracy: float) -> bool:
        """Whether `on_evaluation` at this place, with this validation accuracy, labels the pool."""
        ...
