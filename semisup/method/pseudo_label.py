"""Online Pseudo-Label (Lee, ICML 2013 workshop): one weak view is both labeled and trained on.

    loss = mean CE(labeled) + lambda_unlabeled r(t) / U  sum_i weight_i CE(u_i, target_i)
    r(t) = min(1, t / (ramp T))

The unlabeled pass leaves BatchNorm's running statistics unchanged.
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
    """Settings of Pseudo-Label; see `OnlineMethod` for `lambda_unlabeled` and `ratio`.

    ramp: share of the training over which the unlabeled loss is ramped up, in [0, 1]
    """

    ramp: float

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
