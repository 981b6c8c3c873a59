"""FixMatch (arXiv 2001.07685): compute a pseudo-label from the weak view, and train the strong view on it.

    loss = mean CE(labeled) + lambda_unlabeled * r(t) / U * sum_i weight_i * CE(strong_i, target_i)
    r(t) = min(1, t / (ramp * T)) at step t of T        (with ramp_shape=cosine: (1 - cos(pi * r(t))) / 2)

CE is the cross-entropy, and U is the number of unlabeled images of a step. strong_i is the strong view of image i, and
target_i is the most probable class of its weak view, without gradient. weight_i comes from the threshold policy. With
threshold=fixed this is FixMatch; with threshold=flexmatch, freematch, softmatch or dash, it is the method of that
paper.

AdaMatch (arXiv 2106.04732) is threshold=adamatch with strong_labeled=true, logit_interpolation=true, ramp=0.5 and
ramp_shape=cosine. In the labeled loss, the setting `logit_interpolation` replaces the logits of the labeled images by
s * z + (1 - s) * z': z are their logits in the pass of all images, z' are their logits in a pass of the labeled images
only, and s ~ U(0, 1) is drawn for each logit. The threshold policy uses z (with skip_rejected=true, the logits of the
pass without gradient). In the authors' code (google-research/adamatch), it uses the interpolated logits. The two are
equal in a model without BatchNorm and dropout.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.batch_norm import freeze_bn_stats
from semisup.core.device import to_device
from semisup.core.ramp import RAMP_SHAPES
from semisup.core.rng import torch_generator
from semisup.core.types import StateDict
from semisup.errors import check_choice
from semisup.method._losses import labeled_cross_entropy, pseudo_label_cross_entropy
from semisup.method._online import OnlineMethod, UnlabeledLoss, unlabeled_batch
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums
from semisup.method._weak_strong import forward_weak_strong


@dataclass(frozen=True)
class FixMatch(OnlineMethod):
    """Settings of FixMatch, explained in `conf/method/fixmatch.yaml`."""

    ramp_shape: str
    skip_rejected: bool
    ema_teacher: bool
    strong_labeled: bool
    logit_interpolation: bool

    labels_only_settings: ClassVar[tuple[str, ...]] = ("lambda_unlabeled", "strong_labeled")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("ramp_shape", self.ramp_shape, RAMP_SHAPES)

    @property
    def needs_ema(self) -> bool:
        return self.ema_teacher

    def labeled_loss(self, training: TrainingContext, position: Position) -> StepLoss:
        images, targets = self._labeled_views(training, position)
        logits = training.student(images).float()
        return self._labeled_step(training, logits, targets)

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = self._labeled_views(training, position)
        batch = unlabeled_batch(training, position, self.ratio)
        forward, memory = forward_weak_strong(
            training, memory, position, images, targets, batch, self.skip_rejected, self.ema_teacher
        )
        logits = forward.labeled
        if self.logit_interpolation:
            logits = interpolate_logits(training, position, images, logits)
        supervised = self._labeled_step(training, logits, targets)
        unlabeled = pseudo_label_cross_entropy(
            training, memory, forward.strong, forward.targets, forward.weight, len(batch.index)
        )
        step = UnlabeledLoss(unlabeled, forward.strong, forward.weight, len(batch.index))
        return self.total_loss(training, memory, position, supervised, step), memory

    def ramp_factor(self, progress: float) -> float:
        return RAMP_SHAPES[self.ramp_shape](super().ramp_factor(progress))

    def _labeled_views(self, training: TrainingContext, position: Position) -> tuple[Tensor, Tensor]:
        """Load and augment the labeled batch of n images.

        Returns:
            The weak views, followed by the strong views if `strong_labeled` is set; and the classes of the images,
            (n,).
        """
        images, targets = training.labeled_batch(position, training.weak)
        if self.strong_labeled:
            images = torch.cat((images, training.labeled_batch(position, training.augment, "labeled_strong")[0]))
        return images, targets

    def _labeled_step(self, training: TrainingContext, logits: Tensor, targets: Tensor) -> StepLoss:
        """Compute the mean loss of all views of the labeled images; the logged accuracy is that of the weak views."""
        views = len(logits) // len(targets)
        loss = labeled_cross_entropy(training, logits, targets.repeat(views) if views > 1 else targets)
        return StepLoss(loss, labeled_sums(loss, logits[: len(targets)], targets))


def interpolate_logits(training: TrainingContext, position: Position, images: Tensor, logits: Tensor) -> Tensor:
    """Interpolate at random between the logits of labeled images from two forward passes, as AdaMatch does.

    The second pass, of the labeled images only, is computed here. It does not change BatchNorm's running statistics.

    Args:
        images: (n, C, S, S), the views of the labeled images.
        logits: (n, K), logits of the labeled images from the pass of all images of the step.
    """
    with freeze_bn_stats(training.student):
        separate: Tensor = training.student(images).float()
    generator = torch_generator(training.seed, "logit_interpolation", position.step)
    share = to_device(torch.rand(logits.shape, generator=generator), logits.device)
    return separate.lerp(logits, share)
