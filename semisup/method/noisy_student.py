"""Noisy Student (arXiv 1911.04252): self-training in rounds, each of which starts from newly initialized weights.

As `self_training`, but whenever the unlabeled set has been labeled, the student, its optimizer and its weight average are
discarded, and a student with other initial weights learns the labels and pseudo-labels under the strong augmentation.
The best model on validation is chosen over all rounds.
"""

from collections.abc import Generator
from dataclasses import dataclass

from semisup.core.events import Event
from semisup.core.types import StateDict
from semisup.method._protocol import Position, TrainingContext
from semisup.method.self_training import SelfTraining


@dataclass(frozen=True)
class NoisyStudent(SelfTraining):
    """Settings of Noisy Student: those of `SelfTraining`; `refresh_every` is the length of a round in epochs."""

    def needs_evaluation(self, epoch: int) -> bool:
        return epoch % self.refresh_every == 0 and self.lambda_unlabeled > 0

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        if not self.will_relabel(training, position, accuracy):
            return memory
        memory = yield from self.relabel(training, memory, position)
        if len(memory["index"]):
            training.restart(int(memory["round"]))
        return memory
