"""Online Pseudo-Label (Lee, ICML 2013 workshop): compute a pseudo-label from a weak view, and train on the same view.

    loss = mean CE(labeled) + lambda_unlabeled * r(t) / U * sum_i weight_i * CE(u_i, target_i)
    r(t) = min(1, t / (ramp * T))        at step t of T

CE is the cross-entropy, and U is the number of unlabeled images in a step. u_i is the weak view of unlabeled image i,
and target_i is the most probable class of this view. weight_i comes from the threshold policy. The forward pass of the
unlabeled images does not change BatchNorm's running statistics.
"""

from dataclasses import dataclass
from typing import ClassVar

from semisup.core.batch_norm import freeze_bn_stats
from semisup.core.inference import apply_temperature, predict
from semisup.core.types import StateDict
from semisup.method._losses import debias_logits, labeled_cross_entropy, pseudo_label_cross_entropy
from semisup.method._online import (
    OnlineMethod,
    UnlabeledLoss,
    select_and_record,
    unlabeled_batch,
)
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums


@dataclass(frozen=True)
class PseudoLabel(OnlineMethod):
    """Settings of Pseudo-Label, explained in `conf/method/pseudo_label.yaml`."""

    ramp: float

    needs_ema: ClassVar[bool] = False

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        labeled = training.student(images).float()
        batch = unlabeled_batch(training, position, self.ratio)
        with freeze_bn_stats(training.student):
            logits = training.student(training.view(training.weak, batch.pixels, "weak", position.step)).float()
        label_logits, memory = debias_logits(training, memory, apply_temperature(logits.detach(), memory))
        labels = predict(label_logits)
        selection, memory = select_and_record(training, memory, position, labels, batch.index, labeled, targets)
        supervised = labeled_cross_entropy(training, labeled, targets)
        unlabeled = pseudo_label_cross_entropy(
            training, memory, logits, selection.targets, selection.weight, len(logits)
        )
        labeled_step = StepLoss(supervised, labeled_sums(supervised, labeled, targets))
        step = UnlabeledLoss(unlabeled, logits, selection.weight, len(logits))
        return self.total_loss(training, memory, position, labeled_step, step), memory
