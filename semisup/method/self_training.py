"""Self-training by rounds (arXiv 1908.02983, "offline" pseudo-labels), as in the Food-11 tutorial.

Every epoch is one shuffled pass over the labeled images and, once there are pseudo-labels, one pass over
the pseudo-labeled ones, in the order of the set, with the same augmentation and batch size. After the
evaluation of epoch e = 0, 1, ... the whole pool is labeled again if

    e mod refresh_every = 0   and   validation accuracy > gate

with the student in eval mode on the images as they are; what the threshold policy gives a weight above 0
becomes the new pseudo-labeled set, hard labels and all (a single image left over joins the batch before it: BatchNorm
cannot normalize one). None kept = no pseudo-labeled set. Accuracy may
fall below the gate later: the old set stays in use.

A pool of 50,000 beside 40 labels would make an epoch of 3 labeled and 3,000 pseudo-labeled batches, and the pool would
not be labeled again before its end. With `ratio` an epoch has at most that many pseudo-labeled images for each labeled
one: the next of passes without end over the set, each pass shuffled anew.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.events import Event, Progress
from semisup.core.inference import apply_temperature, iter_logits, predict
from semisup.core.losses import weighted_cross_entropy
from semisup.core.sampling import gather_images, infinite_batch, num_batches
from semisup.core.types import PseudoLabels, StateDict
from semisup.errors import DivergedError, check_range
from semisup.method._diagnostics import pool_labeled_event
from semisup.method._policy import apply_policy, initial_memory
from semisup.method._protocol import Position, StepLoss, TrainingContext, unlabeled_sums
from semisup.method.supervised import labeled_step_loss


@dataclass(frozen=True)
class SelfTraining:
    """`gate`: validation accuracy, in [0, 1], above which the pool is labeled; `refresh_every` >= 1 epochs;
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
        check_range("gate", self.gate, 0, 1)
        check_range("refresh_every", self.refresh_every, 1)
        if self.ratio is not None:
            check_range("ratio", self.ratio, 1)
        check_range("lambda_unlabeled", self.lambda_unlabeled, 0)

    def init(self, training: TrainingContext) -> StateDict:
        none = torch.zeros(0, dtype=torch.int64)
        start = {"index": none, "targets": none, "weight": torch.zeros(0), "round": torch.tensor(0)}
        return start | initial_memory(training, len(training.unlabeled))

    def steps_in_epoch(self, training: TrainingContext, memory: StateDict) -> int:
        used = self._used(training, memory) if self.lambda_unlabeled > 0 else 0
        left_over = 1 if used > training.batch_size > 1 and used % training.batch_size == 1 else 0
        return num_batches(len(training.labeled), training.batch_size) + num_batches(
            used - left_over, training.batch_size
        )

    def _used(self, training: TrainingContext, memory: StateDict) -> int:
        """How many of the kept images an epoch has."""
        kept = len(memory["index"])
        return kept if self.ratio is None else min(kept, self.ratio * len(training.labeled))

    def loss(self, training: TrainingContext, memory: StateDict, position: Position) -> tuple[StepLoss, StateDict]:
        batch = position.position - num_batches(len(training.labeled), training.batch_size)
        if batch < 0:
            return labeled_step_loss(training, position, training.augment), memory
        return self._pseudo_labeled(training, memory, position, batch), memory

    def _pseudo_labeled(self, training: TrainingContext, memory: StateDict, position: Position, batch: int) -> StepLoss:
        begin, kept, used = batch * training.batch_size, len(memory["index"]), self._used(training, memory)
        end = used if used - begin == training.batch_size + 1 else begin + training.batch_size
        of_epoch: Tensor | slice = slice(begin, end)
        if used < kept:
            chosen = infinite_batch(training.seed, "pseudo_labeled", kept, used, position.epoch)[begin:end]
            of_epoch = to_device(chosen, memory["index"].device)
        index, targets, weight = (memory[name][of_epoch] for name in ("index", "targets", "weight"))
        view = training.view(
            training.augment, gather_images(training.unlabeled, index), "pseudo_labeled", position.step
        )
        loss = weighted_cross_entropy(training.student(view), targets, weight, len(index))
        return StepLoss(self.lambda_unlabeled * loss, unlabeled_sums(loss, len(index)))

    def needs_evaluation(self, epoch: int) -> bool:
        return (epoch - 1) % self.refresh_every == 0 and self.lambda_unlabeled > 0

    def uses_pseudo_labels(self) -> bool:
        return self.lambda_unlabeled > 0

    def has_pseudo_labels(self, memory: StateDict) -> bool:
        return int(memory["round"]) > 0

    def will_relabel(self, training: TrainingContext, position: Position, accuracy: float) -> bool:
        return self.needs_evaluation(position.epoch) and accuracy > self.gate and len(training.unlabeled) > 0

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
        """Label the pool and make what the policy keeps the new pseudo-labeled set."""
        labels = yield from predict_unlabeled(training, memory, position)
        everything = torch.arange(len(training.unlabeled), device=labels.targets.device)
        selection, memory = apply_policy(training, memory, labels, everything, training.context(position, memory))
        index = selection.weight.nonzero().squeeze(1)
        kept = {"index": index, "targets": selection.targets[index], "weight": selection.weight[index]}
        memory = memory | kept | {"round": memory["round"] + 1}
        yield pool_labeled_event(training, position, int(memory["round"]), labels, selection)
        return memory


def predict_unlabeled(
    training: TrainingContext, memory: StateDict, position: Position
) -> Generator[Event, None, PseudoLabels]:
    """Label the whole pool with the teacher as it is now, through the images as they are.

    What is said goes into one tensor: kept batch by batch, it would lie between what the passes free, which then cannot
    be used again.

    Raises:
        DivergedError: the teacher's word is not a number.
    """
    pixels, done = training.unlabeled.pixels, 0
    logits = torch.empty(len(pixels), training.num_classes, device=pixels.device)
    for some in iter_logits(training.teacher, pixels, training.eval_batch_size):
        logits[done : done + len(some)] = some
        done += len(some)
        yield Progress(position.step, position.epoch, "scoring", done, len(pixels))
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError(position.step)
    return predict(apply_temperature(logits, memory))
