"""Pseudo-Label (Lee, ICML 2013 workshop) at every step: one view is labeled and learned.

    loss = mean CE(labeled) + lambda_unlabeled r(t) / U  sum_i weight_i CE(u_i, target_i)
    r(t) = min(1, t / (ramp T))

BatchNorm remembers nothing of the unlabeled pass.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import cross_entropy

from semisup.core.inference import apply_temperature, predict
from semisup.core.losses import weighted_cross_entropy
from semisup.core.types import StateDict
from semisup.errors import check_range
from semisup.method._online import (
    OnlineMethod,
    add_policy_loss,
    freeze_bn_stats,
    rampup_weight,
    select_and_record,
    unlabeled_batch,
)
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums, unlabeled_sums


@dataclass(frozen=True)
class PseudoLabel(OnlineMethod):
    """`lambda_unlabeled` >= 0; `ratio` >= 1: unlabeled images of a step for each labeled one; `ramp` in [0, 1]: the
    share of the training over which the unlabeled loss is phased in."""

    ramp: float

    uses_unlabeled: ClassVar[bool] = True
    uses_weak: ClassVar[bool] = True
    needs_ema: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("ramp", self.ramp, 0, 1)

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        labeled = training.student(images).float()
        batch = unlabeled_batch(training, position, self.ratio)
        with freeze_bn_stats(training.student):
            logits = training.student(training.view(training.weak, batch.pixels, "weak", position.step)).float()
        labels = predict(apply_temperature(logits.detach(), memory))
        selection, memory = select_and_record(training, memory, position, labels, batch.index, labeled, targets)
        supervised = cross_entropy(labeled, targets)
        unlabeled = weighted_cross_entropy(logits, selection.targets, selection.weight, len(logits))
        unlabeled = add_policy_loss(training, unlabeled, logits, selection.weight, memory)
        sums = labeled_sums(supervised, labeled, targets) + unlabeled_sums(unlabeled, len(logits))
        factor = self.lambda_unlabeled * rampup_weight(position.progress, self.ramp)
        return StepLoss(supervised + factor * unlabeled, sums), memory
