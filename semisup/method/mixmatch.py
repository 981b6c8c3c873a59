"""MixMatch (arXiv 1905.02249): average and sharpen the predictions of two views, and mix all images at random.

    q_i = sharpen(mean of the predictions for weak_i and weak'_i, temperature)
    l' = max(l, 1 - l), l ~ Beta(alpha, alpha)
    x' = l' * x + (1 - l') * x_shuffled, and targets likewise, for all images x of [labeled, weak, weak']
    loss = mean CE(labeled') + lambda_unlabeled * r(t) / (2 * U * K) * sum_i weight_i * |softmax(z'_i) - q'_i|^2
    r(t) = min(1, t / (ramp * T)) at step t of T

weak_i and weak'_i are two weak views of unlabeled image i, and q_i is the target of both. x_shuffled is another image
of the same step, chosen at random. z'_i and q'_i are the logits and the target of a mixed unlabeled image. CE is the
cross-entropy, U is the number of unlabeled images in a step, and K is the number of classes.

The threshold policy computes weight_i from the mean prediction of the two views; the weight is used for both of them.
If the policy aligns distributions, the mean prediction is aligned before it is sharpened. If the policy has a loss term
of its own, it is computed from z' and added to the unlabeled loss. With lambda_unlabeled=0, the labeled images are
mixed with each other.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.batch_norm import freeze_bn_stats
from semisup.core.device import to_device
from semisup.core.inference import apply_temperature, predict
from semisup.core.rng import numpy_generator, torch_generator
from semisup.core.types import PseudoLabels, StateDict
from semisup.errors import check_range
from semisup.method._losses import debias_logits, labeled_cross_entropy
from semisup.method._online import (
    OnlineMethod,
    UnlabeledLoss,
    select_and_record,
    unlabeled_batch,
)
from semisup.method._policy import align_probabilities
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums


@dataclass(frozen=True)
class MixMatch(OnlineMethod):
    """Settings of MixMatch, explained in `conf/method/mixmatch.yaml`."""

    temperature: float
    alpha: float

    needs_ema: ClassVar[bool] = False
    unlabeled_cross_entropy: ClassVar[bool] = False
    mixes_unlabeled: ClassVar[bool] = True
    labels_only_settings: ClassVar[tuple[str, ...]] = ("lambda_unlabeled", "alpha")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("temperature", self.temperature, 0, above=True)
        check_range("alpha", self.alpha, 0, above=True)

    def labeled_loss(self, training: TrainingContext, position: Position) -> StepLoss:
        images, targets = training.labeled_batch(position, training.weak)
        mixed, soft = self._mix(training, position, images, one_hot(targets, training.num_classes))
        logits = training.student(mixed).float()
        loss = labeled_cross_entropy(training, logits, soft)
        return StepLoss(loss, labeled_sums(loss, logits, targets))

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        batch = unlabeled_batch(training, position, self.ratio)
        views = [training.view(training.weak, batch.pixels, name, position.step) for name in ("weak", "other_weak")]
        with torch.no_grad(), freeze_bn_stats(training.student):
            predictions = training.student(torch.cat((images, *views))).float()
        labeled_logits, view_logits = predictions.split((len(images), 2 * len(batch.index)))
        view_logits, memory = debias_logits(training, memory, apply_temperature(view_logits, memory))
        mean = torch.stack(predict(view_logits).probabilities.chunk(2)).mean(dim=0)
        labels = PseudoLabels(mean, *mean.max(dim=1))
        selection, memory = select_and_record(training, memory, position, labels, batch.index, labeled_logits, targets)

        sharp = sharpen(align_probabilities(training, memory, mean), self.temperature)
        soft = torch.cat((one_hot(targets, training.num_classes).to(sharp), sharp, sharp))
        mixed, soft = self._mix(training, position, torch.cat((images, *views)), soft)
        logits = training.student(mixed).float()

        labeled, unlabeled_logits = logits[: len(images)], logits[len(images) :]
        supervised = labeled_cross_entropy(training, labeled, soft[: len(images)])
        distance = (unlabeled_logits.softmax(dim=1) - soft[len(images) :]).square().mean(dim=1)  # (2 U,)
        weight = selection.weight.repeat(2)
        unlabeled = (distance * weight).sum() / len(unlabeled_logits)
        labeled_step = StepLoss(supervised, labeled_sums(supervised, labeled, targets))
        step = UnlabeledLoss(unlabeled, unlabeled_logits, weight, len(batch.index))
        return self.total_loss(training, memory, position, labeled_step, step), memory

    def _mix(
        self, training: TrainingContext, position: Position, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mix (n, C, S, S) images and their (n, K) targets with those of randomly chosen images (MixUp)."""
        order = torch.randperm(len(images), generator=torch_generator(training.seed, "mixup", "order", position.step))
        order = to_device(order, images.device)
        share = float(numpy_generator(training.seed, "mixup", "share", position.step).beta(self.alpha, self.alpha))
        share = max(share, 1 - share)
        return images.lerp(images[order], 1 - share), targets.lerp(targets[order], 1 - share)


def one_hot(targets: Tensor, num_classes: int) -> Tensor:
    """Encode (n,) classes as (n, K) float32 one-hot probabilities."""
    return torch.eye(num_classes, device=targets.device)[targets]


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Raise (U, K) probabilities to the power 1 / temperature and normalize the rows to sum 1."""
    return torch.softmax(probabilities.clamp(min=1e-12).log() / temperature, dim=1)
