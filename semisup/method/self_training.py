"""Offline self-training (arXiv 1908.02983): label the whole unlabeled set after evaluations, and train on these labels.

An epoch is one shuffled pass over the labeled images, followed by one pass over the pseudo-labeled images if there are
any. After the evaluation of epoch e = 0, 1, ... the whole unlabeled set is labeled again if

    e mod refresh_every = 0   and   validation accuracy > gate

With gate=auto, the accuracy must be significantly above that of guessing the most frequent class (`core/chance.py`).
The teacher labels the images in eval mode, without augmentation. Images to which the threshold policy gives a weight
above 0 become the new pseudo-labeled set, with hard labels.

The setting `ratio` limits the number of pseudo-labeled images in an epoch to `ratio` for each labeled image; the next
epoch continues with the following images of the set. Without this limit, epochs are long if there are few labels, and
the unlabeled set is labeled at most once per epoch.

With lambda_unlabeled=0 (the control of a run), an epoch has only the pass over the labeled images. A run and its
control are identical until the first labeling; after that, the epochs of the run are longer.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.chance import chance_limit
from semisup.core.device import to_device
from semisup.core.events import Event, Progress
from semisup.core.inference import apply_temperature, iter_logits, predict
from semisup.core.sampling import gather_images, infinite_batch, num_batches
from semisup.core.types import StateDict
from semisup.errors import DivergedError, SettingError, check_range
from semisup.method._diagnostics import pool_labeled_event
from semisup.method._losses import debias_logits, observe_selection, pseudo_label_cross_entropy
from semisup.method._policy import apply_policy, initial_memory, rejection
from semisup.method._protocol import Position, StepLoss, TrainingContext, unlabeled_sums
from semisup.method._teachers import initial_teachers, mean_of_teachers
from semisup.method.supervised import labeled_step_loss


@dataclass(frozen=True)
class SelfTraining:
    """Settings of self-training, explained in `conf/method/self_training.yaml`.

    gate: validation accuracy above which the unlabeled set is labeled, in [0, 1]; or `auto`
    refresh_every: number of epochs between two labelings
    ratio: largest number of pseudo-labeled images in an epoch for each labeled image; None = no limit
    lambda_unlabeled: weight of the loss on pseudo-labels, at least 0
    """

    gate: float | str
    refresh_every: int
    ratio: int | None
    lambda_unlabeled: float

    uses_weak: ClassVar[bool] = False
    needs_ema: ClassVar[bool] = False
    labels_only_settings: ClassVar[tuple[str, ...]] = ("lambda_unlabeled",)
    settings_after_labeling: ClassVar[tuple[str, ...]] = ("lambda_unlabeled",)

    def __post_init__(self) -> None:
        if isinstance(self.gate, str) and self.gate != "auto":
            raise SettingError("gate", self.gate, "must be auto or a number in [0, 1]")
        if not isinstance(self.gate, str):
            check_range("gate", self.gate, 0, 1)
        check_range("refresh_every", self.refresh_every, 1)
        if self.ratio is not None:
            check_range("ratio", self.ratio, 1)
        check_range("lambda_unlabeled", self.lambda_unlabeled, 0)

    @property
    def uses_unlabeled(self) -> bool:
        return self.lambda_unlabeled > 0

    def gate_accuracy(self, validation_targets: Tensor) -> float:
        """Return the validation accuracy above which the unlabeled set is labeled.

        Args:
            validation_targets: (V,) int64, true classes of the validation images; used only with gate=auto.
        """
        return chance_limit(validation_targets) if isinstance(self.gate, str) else self.gate

    def init(self, training: TrainingContext) -> StateDict:
        empty = torch.zeros(0, dtype=torch.int64)
        start = {"index": empty, "targets": empty, "weight": torch.zeros(0), "round": torch.tensor(0)}
        return start | initial_teachers(training) | initial_memory(training, len(training.unlabeled))

    def steps_in_epoch(self, training: TrainingContext, memory: StateDict) -> int:
        size = self._pseudo_labeled_size(training, memory)
        joined = 1 if size > training.batch_size > 1 and size % training.batch_size == 1 else 0
        labeled_steps = num_batches(len(training.labeled), training.batch_size)
        return labeled_steps + num_batches(size - joined, training.batch_size)

    def _pseudo_labeled_size(self, training: TrainingContext, memory: StateDict) -> int:
        """Compute the number of pseudo-labeled images that an epoch uses."""
        selected = len(memory["index"])
        return selected if self.ratio is None else min(selected, self.ratio * len(training.labeled))

    def loss(self, training: TrainingContext, memory: StateDict, position: Position) -> tuple[StepLoss, StateDict]:
        batch = position.position - num_batches(len(training.labeled), training.batch_size)
        if batch < 0:
            return labeled_step_loss(training, position, training.augment), memory
        return self._pseudo_labeled_loss(training, memory, position, batch), memory

    def _pseudo_labeled_loss(
        self, training: TrainingContext, memory: StateDict, position: Position, batch: int
    ) -> StepLoss:
        """Compute the loss of a step on pseudo-labeled images.

        Args:
            batch: number of the step among the steps of the epoch that use pseudo-labeled images, from 0.
        """
        selected, size = len(memory["index"]), self._pseudo_labeled_size(training, memory)
        begin = batch * training.batch_size
        # BatchNorm cannot normalize one image, so a last batch of one image is joined to the batch before it
        end = size if size - begin == training.batch_size + 1 else begin + training.batch_size
        members: Tensor | slice = slice(begin, end)
        if size < selected:
            drawn = infinite_batch(training.seed, "pseudo_labeled", selected, size, position.epoch)[begin:end]
            members = to_device(drawn, memory["index"].device)
        index, targets, weight = (memory[name][members] for name in ("index", "targets", "weight"))
        view = training.view(
            training.augment, gather_images(training.unlabeled, index), "pseudo_labeled", position.step
        )
        loss = pseudo_label_cross_entropy(training, memory, training.student(view), targets, weight, len(index))
        return StepLoss(self.lambda_unlabeled * loss, unlabeled_sums(loss, len(index)))

    def needs_evaluation(self, epoch: int) -> bool:
        return (epoch - 1) % self.refresh_every == 0 and self.uses_unlabeled

    def has_pseudo_labels(self, memory: StateDict) -> bool:
        return int(memory["round"]) > 0

    def will_relabel(self, training: TrainingContext, position: Position, accuracy: float) -> bool:
        due = self.needs_evaluation(position.epoch) and self._is_above_gate(training, accuracy)
        return due and self.uses_unlabeled and len(training.unlabeled) > 0

    def _is_above_gate(self, training: TrainingContext, accuracy: float) -> bool:
        return accuracy > self.gate_accuracy(training.validation_targets)  # NaN is not above it

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        if not self.will_relabel(training, position, accuracy):
            return memory
        return (yield from self.relabel(training, memory, position))

    def report(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> Generator[Event, None, StateDict]:
        yield from ()
        return memory

    def relabel(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> Generator[Event, None, StateDict]:
        """Label the unlabeled set, and store the selected images together with their pseudo-labels in the memory."""
        logits = yield from unlabeled_logits(training, memory, position)
        logits, memory = debias_logits(training, memory, logits, whole=True)
        labels, memory = mean_of_teachers(training, memory, predict(logits))
        index = torch.arange(len(training.unlabeled), device=labels.targets.device)
        selection, memory = apply_policy(training, memory, labels, index, training.context(position, memory))
        memory = observe_selection(training, memory, selection, whole=True)
        selected = selection.weight.nonzero().squeeze(1)
        memory = memory | {
            "index": selected,
            "targets": selection.targets[selected],
            "weight": selection.weight[selected],
            "round": memory["round"] + 1,
        }
        yield pool_labeled_event(training, position, int(memory["round"]), labels, selection, rejection(memory))
        return memory


def unlabeled_logits(
    training: TrainingContext, memory: StateDict, position: Position
) -> Generator[Event, None, Tensor]:
    """Compute the teacher's calibrated logits (N, K) for the whole unlabeled set, without augmentation.

    Yields a Progress event after each batch.

    Raises:
        DivergedError: a logit is not finite.
    """
    # one preallocated tensor, because a list of batches would fragment memory
    pixels, done = training.unlabeled.pixels, 0
    logits = torch.empty(len(pixels), training.num_classes, device=pixels.device)
    for batch in iter_logits(training.teacher, pixels, training.eval_batch_size):
        logits[done : done + len(batch)] = batch
        done += len(batch)
        yield Progress(position.step, position.epoch, "scoring", done, len(pixels))
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError(position.step)
    return apply_temperature(logits, memory)
