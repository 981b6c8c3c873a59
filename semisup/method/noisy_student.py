"""Noisy Student (arXiv 1911.04252): self-training in rounds, each of which starts from newly initialized weights.

As `self_training`, but whenever the unlabeled set has been labeled, the student, its optimizer and its weight average
are discarded, and a student with other initial weights learns the labels and pseudo-labels under the strong
augmentation. The best model on validation is chosen over all rounds.

With lambda_unlabeled=0 the student restarts under the same condition, at every `refresh_every` epochs above the gate.
These epochs have labeled steps only, so that rounds are shorter, in steps, than those of a run with pseudo-labels,
and there can be more of them.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

from semisup.core.events import Event
from semisup.core.types import StateDict
from semisup.method._protocol import Position, TrainingContext
from semisup.method.self_training import SelfTraining


@dataclass(frozen=True)
class NoisyStudent(SelfTraining):
    """Settings of Noisy Student: those of `SelfTraining`; `refresh_every` is the length of a round in epochs."""

    labels_only_settings: ClassVar[tuple[str, ...]] = ("lambda_unlabeled", "gate", "refresh_every")

    def needs_evaluation(self, epoch: int) -> bool:
        return epoch % self.refresh_every == 0

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        if not self.needs_evaluation(position.epoch) or not accuracy > self.gate:  # NaN is not above it
            return memory
        labels_only = not self.will_relabel(training, position, accuracy)
        if labels_only:
            memory = memory | {"round": memory["round"] + 1}
        else:
            memory = yield from self.relabel(training, memory, position)
        if labels_only or len(memory["index"]):
            training.restart(int(memory["round"]))
        return memory
