"""Mean Teacher (arXiv 1703.01780): the student agrees with the average of its own past weights.

    loss = mean CE(labeled) + lambda_unlabeled r(t) / (U K)  sum_i weight_i |p_i - q_i|^2
    p = softmax(student(weak'_i)), q = softmax(teacher(weak_i)), r(t) = min(1, t / (ramp T))

The teacher is the weights' average (`train.ema_decay`), in eval mode; the policy weighs what the teacher says.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import cross_entropy

from semisup.core.inference import apply_temperature, predict
from semisup.core.types import StateDict
from semisup.errors import check_range
from semisup.method._online import OnlineMethod, rampup_weight, select_and_record, unlabeled_batch
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums, unlabeled_sums


@dataclass(frozen=True)
class MeanTeacher(OnlineMethod):
    """`lambda_unlabeled` >= 0; `ratio` >= 1: unlabeled images of a step for each labeled one; `ramp` in [0, 1]: the
    share of the training over which the unlabeled loss is phased in; `skip_rejected`: the student does not look at views
    of weight 0."""

    ramp: float
    skip_rejected: bool

    uses_unlabeled: ClassVar[bool] = True
    uses_weak: ClassVar[bool] = True
    needs_ema: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("ramp", self.ramp, 0, 1)

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        batch = unlabeled_batch(training, position, self.ratio)
        with torch.no_grad():
            teacher = training.teacher.eval()
            labels = predict(
                apply_temperature(teacher(training.view(training.weak, batch.pixels, "weak", position.step)), memory)
            )
            known = teacher(images).float() if training.policy.uses_labeled else None
        selection, memory = select_and_record(training, memory, position, labels, batch.index, known, targets)
        weight, wanted = selection.weight, labels.probabilities
        pixels = batch.pixels
        if self.skip_rejected:
            kept = weight.nonzero().squeeze(1)
            weight, wanted, pixels = weight[kept], wanted[kept], pixels[kept]
        other = training.view(training.weak, pixels, "other_weak", position.step)
        labeled, logits = training.student(torch.cat((images, other))).float().split((len(images), len(other)))
        supervised = cross_entropy(labeled, targets)
        distance = (logits.softmax(dim=1) - wanted).square().mean(dim=1)  # (V,)
        unlabeled = (distance * weight).sum() / len(batch.index)
        sums = labeled_sums(supervised, labeled, targets) + unlabeled_sums(unlabeled, len(batch.index))
        factor = self.lambda_unlabeled * rampup_weight(position.progress, self.ramp)
        return StepLoss(supervised + factor * unlabeled, sums), memory
