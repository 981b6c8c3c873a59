"""Supervised training: shuffled passes over the augmented labeled images."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

from semisup.augment import Augment
from semisup.core.events import Event
from semisup.core.sampling import num_batches
from semisup.core.types import StateDict
from semisup.method._losses import labeled_cross_entropy
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums


class LabeledEpochs:
    """Base class of methods that never label the whole unlabeled set: an epoch is one pass over the labeled images."""

    def steps_in_epoch(self, training: TrainingContext, memory: StateDict) -> int:
        return num_batches(len(training.labeled), training.batch_size)

    def needs_evaluation(self, epoch: int) -> bool:
        return False

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        yield from ()
        return memory

    def report(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> Generator[Event, None, StateDict]:
        yield from ()
        return memory


@dataclass(frozen=True)
class Supervised(LabeledEpochs):
    """Supervised training; it has no settings."""

    uses_unlabeled: ClassVar[bool] = False
    uses_weak: ClassVar[bool] = False
    needs_ema: ClassVar[bool] = False
    labels_only_settings: ClassVar[tuple[str, ...]] = ()

    def init(self, training: TrainingContext) -> StateDict:
        return {}

    def loss(self, training: TrainingContext, memory: StateDict, position: Position) -> tuple[StepLoss, StateDict]:
        return labeled_step_loss(training, position, training.augment), memory


def labeled_step_loss(training: TrainingContext, position: Position, augment: Augment) -> StepLoss:
    """Compute the mean loss of the labeled batch of a step, augmented by `augment`."""
    images, targets = training.labeled_batch(position, augment)
    logits = training.student(images).float()
    loss = labeled_cross_entropy(training, logits, targets)
    return StepLoss(loss, labeled_sums(loss, logits, targets))
