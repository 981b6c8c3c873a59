"""Pseudo-Label (Lee, ICML 2013 workshop) at every step: one view is labeled and learned.

    loss = mean CE(labeled) + lambda_unlabeled r(t) / U  sum_i weight_i CE(u_i, target_i)
    r(t) = min(1, t / (ramp T))

BatchNorm remembers nothing of the unlabeled pass.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import cross_entropy

from semisup.core.inference import calibrated, label
from semisup.core.losses import weighted_cross_entropy
from semisup.core.types import Memory
from semisup.errors import in_range
from semisup.method._online import EveryStep, frozen_statistics, ramp, unlabeled_batch, weigh, with_penalty
from semisup.method._protocol import Learner, Losses, Place, labeled_sums, unlabeled_sums


@dataclass(frozen=True)
class PseudoLabel(EveryStep):
    """`lambda_unlabeled` >= 0; `ratio` >= 1: unlabeled images of a step for each labeled one; `ramp` in [0, 1]: the
    share of the training over which the unlabeled loss is phased in."""

    ramp: float

    uses_unlabeled: ClassVar[bool] = True
    uses_weak: ClassVar[bool] = True
    needs_average: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("ramp", self.ramp, 0, 1)

    def loss_of_both(self, learner: Learner, memory: Memory, place: Place) -> tuple[Losses, Memory]:
        images, targets = learner.labeled_batch(place, learner.weak)
        labeled = learner.student(images).float()
        batch = unlabeled_batch(learner, place, self.ratio)
        with frozen_statistics(learner.student):
            logits = learner.student(learner.view(learner.weak, batch.pixels, "weak", place.step)).float()
        labels = label(calibrated(logits.detach(), memory))
        selection, memory = weigh(learner, memory, place, labels, batch.index, labeled, targets)
        supervised = cross_entropy(labeled, targets)
        unlabeled = weighted_cross_entropy(logits, selection.targets, selection.weight, len(logits))
        unlabeled = with_penalty(learner, unlabeled, logits, selection.weight, memory)
        sums = labeled_sums(supervised, labeled, targets) + unlabeled_sums(unlabeled, len(logits))
        factor = self.lambda_unlabeled * ramp(place.progress, self.ramp)
        return Losses(supervised + factor * unlabeled, sums), memory
