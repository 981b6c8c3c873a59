"""Mean Teacher (arXiv 1703.01780): train the student to predict like the average of its weights.

    loss = mean CE(labeled) + lambda_unlabeled * r(t) / (U * K) * sum_i weight_i * |p_i - q_i|^2
    p_i = softmax(student(weak'_i)), q_i = softmax(teacher(weak_i)), r(t) = min(1, t / (ramp * T)) at step t of T

CE is the cross-entropy, U is the number of unlabeled images in a step, and K is the number of classes. weak_i and
weak'_i are two weak views of image i. The teacher is the average of the student's weights (`train.ema_decay`), in eval
mode. The threshold policy computes weight_i from q_i. If the policy aligns distributions, the loss contains the aligned
q_i. If the policy has a loss term of its own, the term is computed from the student's logits and added to the unlabeled
loss.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from semisup.core.inference import apply_temperature, predict
from semisup.core.types import StateDict
from semisup.method._losses import debias_logits, labeled_cross_entropy
from semisup.method._online import OnlineMethod, UnlabeledLoss, select_and_record, unlabeled_batch
from semisup.method._policy import align_probabilities
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums


@dataclass(frozen=True)
class MeanTeacher(OnlineMethod):
    """Settings of Mean Teacher, explained in `conf/method/mean_teacher.yaml`."""

    skip_rejected: bool

    needs_ema: ClassVar[bool] = True
    unlabeled_cross_entropy: ClassVar[bool] = False

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        batch = unlabeled_batch(training, position, self.ratio)
        with torch.no_grad():
            teacher = training.teacher.eval()
            weak = training.view(training.weak, batch.pixels, "weak", position.step)
            weak_logits, memory = debias_logits(training, memory, apply_temperature(teacher(weak), memory))
            labels = predict(weak_logits)
            labeled_logits = teacher(images).float() if training.policy.uses_labeled else None
        selection, memory = select_and_record(training, memory, position, labels, batch.index, labeled_logits, targets)
        soft = align_probabilities(training, memory, labels.probabilities)
        weight, pixels = selection.weight, batch.pixels
        if self.skip_rejected:
            selected = weight.nonzero().squeeze(1)
            weight, soft, pixels = weight[selected], soft[selected], pixels[selected]
        other = training.view(training.weak, pixels, "other_weak", position.step)
        labeled, logits = training.student(torch.cat((images, other))).float().split((len(images), len(other)))
        supervised = labeled_cross_entropy(training, labeled, targets)
        distance = (logits.softmax(dim=1) - soft).square().mean(dim=1)  # (V,)
        unlabeled = (distance * weight).sum() / len(batch.index)
        labeled_step = StepLoss(supervised, labeled_sums(supervised, labeled, targets))
        step = UnlabeledLoss(unlabeled, logits, weight, len(batch.index))
        return self.total_loss(training, memory, position, labeled_step, step), memory
