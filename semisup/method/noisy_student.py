"""Noisy Student (arXiv 1911.04252): self-training in rounds, each from new initial weights.

The unlabeled set is labeled after every `refresh_every` epochs if the validation accuracy is above `gate`. If the
threshold policy selects any image, the student, its optimizer and its weight average are discarded. A student with
other initial weights is then trained on the labels and pseudo-labels with the strong augmentation. The best model on
the validation set is chosen over all rounds.

With lambda_unlabeled=0, the student restarts under the same condition, but is trained on labels only. A round without
pseudo-labels has fewer steps, so a training of the same length can have more rounds.
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
    """Settings of Noisy Student, the same as those of `SelfTraining`.

    A new round can begin after each labeling, at most every `refresh_every` epochs.
    """

    labels_only_settings: ClassVar[tuple[str, ...]] = ("lambda_unlabeled", "gate", "refresh_every")

    def needs_evaluation(self, epoch: int) -> bool:
        return epoch % self.refresh_every == 0

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        if not self.needs_evaluation(position.epoch) or not self._is_above_gate(training, accuracy):
            return memory
        labels_only = not self.will_relabel(training, position, accuracy)
        if labels_only:
            memory = memory | {"round": memory["round"] + 1}
        else:
            memory = yield from self.relabel(training, memory, position)
        if labels_only or len(memory["index"]):
            training.restart(int(memory["round"]))
        return memory
