"""Labels only: cross-entropy on shuffled passes over the labeled images. The control of every other method."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import cross_entropy

from semisup.augment import Augment
from semisup.core.events import Event
from semisup.core.sampling import count
from semisup.core.types import Memory
from semisup.method._protocol import Learner, Losses, Place, labeled_sums


@dataclass(frozen=True)
class Supervised:
    """Nothing to set."""

    uses_unlabeled: ClassVar[bool] = False
    uses_weak: ClassVar[bool] = False
    needs_average: ClassVar[bool] = False

    def init(self, learner: Learner) -> Memory:
        return {}

    def steps_in_epoch(self, learner: Learner, memory: Memory) -> int:
        return count(len(learner.labeled), learner.batch_size)

    def loss(self, learner: Learner, memory: Memory, place: Place) -> tuple[Losses, Memory]:
        return labeled_losses(learner, place, learner.augment), memory

    def wants_evaluation(self, epoch: int) -> bool:
        return False

    def after_evaluation(
        self, learner: Learner, memory: Memory, place: Place, accuracy: float
    ) -> Generator[Event, None, Memory]:
        yield from ()
        return memory

    def report(self, learner: Learner, memory: Memory, place: Place) -> Generator[Event, None, Memory]:
        yield from ()
        return memory


def labeled_losses(learner: Learner, place: Place, augment: Augment) -> Losses:
    """Mean cross-entropy of the labeled batch of this place."""
    images, targets = learner.labeled_batch(place, augment)
    logits = learner.student(images).float()
    loss = cross_entropy(logits, targets)
    return Losses(loss, labeled_sums(loss, logits, targets))
