"""Unsupervised Data Augmentation (arXiv 1904.12848): train strong views on the sharpened predictions of weak views.

    loss   = mean over the used labeled images of CE(labeled)
             + lambda_unlabeled * r(t) / U * sum_i weight_i * CE(strong_i, soft_i)
    soft_i = softmax(logits of weak view i / temperature)
    r(t)   = min(1, t / (ramp * T))        at step t of T

CE is the cross-entropy, and U is the number of unlabeled images of a step. strong_i is the strong view of image i.
weight_i comes from the threshold policy. If the policy aligns distributions, the predictions of the weak views are
aligned before they are sharpened.

Training-signal annealing (setting `tsa`) leaves out the labeled images that the model already classifies well. A
labeled image is used if the predicted probability of its true class is at most

    eta = a * (1 - 1 / K) + 1 / K        K: number of classes

With the completed share s of the training, a is s (tsa=linear), 1 - exp(-5 * s) (tsa=log) or exp(5 * (s - 1))
(tsa=exp). With tsa=none, all labeled images are used. Annealing also applies with lambda_unlabeled=0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from semisup.core.types import StateDict
from semisup.errors import check_choice, check_range
from semisup.method._losses import (
    labeled_cross_entropies,
    labeled_cross_entropy,
    pseudo_label_cross_entropy,
)
from semisup.method._online import OnlineMethod, UnlabeledLoss, unlabeled_batch
from semisup.method._policy import align_logits
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums
from semisup.method._weak_strong import forward_weak_strong

TSA_SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "log": lambda t: 1 - math.exp(-5 * t),
    "exp": lambda t: math.exp(5 * (t - 1)),
}


@dataclass(frozen=True)
class UDA(OnlineMethod):
    """Settings of UDA, explained in `conf/method/uda.yaml`."""

    temperature: float
    tsa: str
    skip_rejected: bool
    ema_teacher: bool

    labels_only_settings: ClassVar[tuple[str, ...]] = ("lambda_unlabeled", "tsa")

    @property
    def needs_ema(self) -> bool:
        return self.ema_teacher

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("temperature", self.temperature, 0, above=True)
        check_choice("tsa", self.tsa, ("none", *TSA_SCHEDULES))

    def labeled_loss(self, training: TrainingContext, position: Position) -> StepLoss:
        images, targets = training.labeled_batch(position, training.weak)
        return self._labeled_step(training, training.student(images).float(), targets, position.progress)

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        batch = unlabeled_batch(training, position, self.ratio)
        forward, memory = forward_weak_strong(
            training, memory, position, images, targets, batch, self.skip_rejected, self.ema_teacher
        )
        supervised = self._labeled_step(training, forward.labeled, targets, position.progress)
        soft = (align_logits(training, memory, forward.weak) / self.temperature).softmax(dim=1)
        unlabeled = pseudo_label_cross_entropy(training, memory, forward.strong, soft, forward.weight, len(batch.index))
        step = UnlabeledLoss(unlabeled, forward.strong, forward.weight, len(batch.index))
        return self.total_loss(training, memory, position, supervised, step), memory

    def _labeled_step(self, training: TrainingContext, logits: Tensor, targets: Tensor, progress: float) -> StepLoss:
        loss = self._annealed_loss(training, logits, targets, progress)
        return StepLoss(loss, labeled_sums(loss, logits, targets))

    def _annealed_loss(self, training: TrainingContext, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        """Compute the mean loss of the labeled images that training-signal annealing uses; 0 if it uses no image."""
        if self.tsa == "none":
            return labeled_cross_entropy(training, logits, targets)
        classes = logits.shape[1]
        eta = TSA_SCHEDULES[self.tsa](progress) * (1 - 1 / classes) + 1 / classes
        true = logits.detach().softmax(dim=1).gather(1, targets.unsqueeze(1)).squeeze(1)
        counts = (true <= eta).float()
        return (labeled_cross_entropies(training, logits, targets) * counts).sum() / counts.sum().clamp(min=1)
