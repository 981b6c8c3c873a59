"""Noisy Student (arXiv 1911.04252): self-training by rounds in which every round starts from fresh weights.

As `self_training`, but whenever the pool was labeled the student, its optimizer and its average are thrown away and
a new one, with other first weights, learns labels and pseudo-labels under the strong augmentation. The best model
by validation is kept over all rounds.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

from semisup.core.events import Event
from semisup.core.types import StateDict
from semisup.method._protocol import Position, StepLoss, TrainingContext
from semisup.method.self_training import SelfTraining


@dataclass(frozen=True)
class NoisyStudent:
    """`gate`: validation accuracy, in [0, 1], above which the pool is labeled; `refresh_every` >= 1 epochs of a round;
    `ratio` >= 1: at most so many pseudo-labeled images an epoch for each labeled one, None = all of them;
    `lambda_unlabeled` >= 0: weight of the loss on pseudo-labeled images, 0 = they are not used."""

    gate: float
    refresh_every: int
    ratio: int | None
    lambda_unlabeled: float

    uses_unlabeled: ClassVar[bool] = True
    uses_weak: ClassVar[bool] = False
    needs_ema: ClassVar[bool] = False
    later: ClassVar[tuple[str, ...]] = ("lambda_unlabeled",)

    def __post_init__(self) -> None:
        self._rounds()

    def _rounds(self) -> SelfTraining:
        return SelfTraining(self.gate, self.refresh_every, self.ratio, self.lambda_unlabeled)

    def init(self, training: TrainingContext) -> StateDict:
        return self._rounds().init(training)

    def steps_in_epoch(self, training: TrainingContext, memory: StateDict) -> int:
        return self._rounds().steps_in_epoch(training, memory)

    def loss(self, training: TrainingContext, memory: StateDict, position: Position) -> tuple[StepLoss, StateDict]:
        return self._rounds().loss(training, memory, position)

    def needs_evaluation(self, epoch: int) -> bool:
        return epoch % self.refresh_every == 0 and self.lambda_unlabeled > 0

    def uses_pseudo_labels(self) -> bool:
        return self._rounds().uses_pseudo_labels()

    def has_pseudo_labels(self, memory: StateDict) -> bool:
        return self._rounds().has_pseudo_labels(memory)

    def will_relabel(self, training: TrainingContext, position: Position, accuracy: float) -> bool:
        return self.needs_evaluation(position.epoch) and accuracy > self.gate and len(training.unlabeled) > 0

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        if not self.will_relabel(training, position, accuracy):
            return memory
        memory = yield from self._rounds().relabel(training, memory, position)
        if len(memory["index"]):
            training.restart(int(memory["round"]))
        return memory

    def report(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> Generator[Event, None, StateDict]:
        return (yield from self._rounds().report(training, memory, position))
