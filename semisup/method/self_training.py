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
from semisup.core.inference import calibrated, label, logits_of
from semisup.core.losses import weighted_cross_entropy
from semisup.core.sampling import count, endless, taken
from semisup.core.types import Labels, Memory
from semisup.errors import DivergedError, in_range
from semisup.method._diagnostics import relabeled
from semisup.method._policy import ask, first_memory
from semisup.method._protocol import Learner, Losses, Place, unlabeled_sums
from semisup.method.supervised import labeled_losses


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
    needs_average: ClassVar[bool] = False
    later: ClassVar[tuple[str, ...]] = ("lambda_unlabeled",)

    def __post_init__(self) -> None:
        in_range("gate", self.gate, 0, 1)
        in_range("refresh_every", self.refresh_every, 1)
        if self.ratio is not None:
            in_range("ratio", self.ratio, 1)
        in_range("lambda_unlabeled", self.lambda_unlabeled, 0)

    def init(self, learner: Learner) -> Memory:
        none = torch.zeros(0, dtype=torch.int64)
        start = {"index": none, "targets": none, "weight": torch.zeros(0), "round": torch.tensor(0)}
        return start | first_memory(learner, len(learner.unlabeled))

    def steps_in_epoch(self, learner: Learner, memory: Memory) -> int:
        used = self._used(learner, memory) if self.lambda_unlabeled > 0 else 0
        left_over = 1 if used > learner.batch_size > 1 and used % learner.batch_size == 1 else 0
        return count(len(learner.labeled), learner.batch_size) + count(used - left_over, learner.batch_size)

    def _used(self, learner: Learner, memory: Memory) -> int:
        """How many of the kept images an epoch has."""
        kept = len(memory["index"])
        return kept if self.ratio is None else min(kept, self.ratio * len(learner.labeled))

    def loss(self, learner: Learner, memory: Memory, place: Place) -> tuple[Losses, Memory]:
        batch = place.position - count(len(learner.labeled), learner.batch_size)
        if batch < 0:
            return labeled_losses(learner, place, learner.augment), memory
        return self._pseudo_labeled(learner, memory, place, batch), memory

    def _pseudo_labeled(self, learner: Learner, memory: Memory, place: Place, batch: int) -> Losses:
        begin, kept, used = batch * learner.batch_size, len(memory["index"]), self._used(learner, memory)
        end = used if used - begin == learner.batch_size + 1 else begin + learner.batch_size
        of_epoch: Tensor | slice = slice(begin, end)
        if used < kept:
            chosen = endless(learner.seed, "pseudo_labeled", kept, used, place.epoch)[begin:end]
            of_epoch = to_device(chosen, memory["index"].device)
        index, targets, weight = (memory[name][of_epoch] for name in ("index", "targets", "weight"))
        view = learner.view(learner.augment, taken(learner.unlabeled, index), "pseudo_labeled", place.step)
        loss = weighted_cross_entropy(learner.student(view), targets, weight, len(index))
        return Losses(self.lambda_unlabeled * loss, unlabeled_sums(loss, len(index)))

    def wants_evaluation(self, epoch: int) -> bool:
        return (epoch - 1) % self.refresh_every == 0 and self.lambda_unlabeled > 0

    def ever_labels(self) -> bool:
        return self.lambda_unlabeled > 0

    def has_labeled(self, memory: Memory) -> bool:
        return int(memory["round"]) > 0

    def will_label(self, learner: Learner, place: Place, accuracy: float) -> bool:
        return self.wants_evaluation(place.epoch) and accuracy > self.gate and len(learner.unlabeled) > 0

    def after_evaluation(
        self, learner: Learner, memory: Memory, place: Place, accuracy: float
    ) -> Generator[Event, None, Memory]:
        if not self.will_label(learner, place, accuracy):
            return memory
        return (yield from self.relabel(learner, memory, place))

    def report(self, learner: Learner, memory: Memory, place: Place) -> Generator[Event, None, Memory]:
        yield from ()
        return memory

    def relabel(self, learner: Learner, memory: Memory, place: Place) -> Generator[Event, None, Memory]:
        """Label the pool and make what the policy keeps the new pseudo-labeled set."""
        labels = yield from score(learner, memory, place)
        everything = torch.arange(len(learner.unlabeled), device=labels.targets.device)
        selection, memory = ask(learner, memory, labels, everything, learner.context(place, memory))
        index = selection.weight.nonzero().squeeze(1)
        kept = {"index": index, "targets": selection.targets[index], "weight": selection.weight[index]}
        memory = memory | kept | {"round": memory["round"] + 1}
        yield relabeled(learner, place, int(memory["round"]), labels, selection)
        return memory


def score(learner: Learner, memory: Memory, place: Place) -> Generator[Event, None, Labels]:
    """Label the whole pool with the teacher as it is now, through the images as they are.

    What is said goes into one tensor: kept batch by batch, it would lie between what the passes free, which then cannot
    be used again.

    Raises:
        DivergedError: the teacher's word is not a number.
    """
    pixels, done = learner.unlabeled.pixels, 0
    logits = torch.empty(len(pixels), learner.num_classes, device=pixels.device)
    for some in logits_of(learner.teacher, pixels, learner.eval_batch_size):
        logits[done : done + len(some)] = some
        done += len(some)
        yield Progress(place.step, place.epoch, "scoring", done, len(pixels))
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError(place.step)
    return label(calibrated(logits, memory))
