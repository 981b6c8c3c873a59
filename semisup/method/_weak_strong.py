"""Forward passes of weak views, from which pseudo-labels are computed, and of the strong views trained on them."""

from typing import NamedTuple

import torch
from torch import Tensor

from semisup.core.batch_norm import freeze_bn_stats
from semisup.core.inference import apply_temperature, predict
from semisup.core.types import StateDict
from semisup.method._losses import debias_logits
from semisup.method._online import Batch, select_and_record
from semisup.method._protocol import Position, TrainingContext, seed_dropout


class ForwardPass(NamedTuple):
    """Results of the forward passes of a training step.

    V is the number of unlabeled images with a strong view in the loss.

    labeled: (B or more, K) float logits of all labeled views, with gradient
    weak: (V, K) float logits of the weak views, after calibration and debiasing, without gradient
    strong: (V, K) float logits of the strong views, with gradient
    targets, weight: (V,), pseudo-labels and their weights
    """

    labeled: Tensor
    weak: Tensor
    strong: Tensor
    targets: Tensor
    weight: Tensor


def forward_weak_strong(
    training: TrainingContext,
    memory: StateDict,
    position: Position,
    images: Tensor,
    targets: Tensor,
    batch: Batch,
    skip_rejected: bool,
    ema_teacher: bool,
) -> tuple[ForwardPass, StateDict]:
    """Compute pseudo-labels from weak views, and the student's logits of the strong views.

    By default there is one forward pass of all labeled, weak and strong views, as in the papers, so that BatchNorm
    normalizes them together. With `skip_rejected` or `ema_teacher`, the weak views have a separate pass first, without
    gradient and without an effect on BatchNorm's running statistics.

    Args:
        images: (B, C, S, S) weak views of the labeled batch; other views of the same images may follow.
        targets: (B,), classes of the labeled batch.
        batch: the unlabeled batch.
        skip_rejected: whether strong views of weight 0 are left out of the second pass.
        ema_teacher: whether the weak views are labeled by the average of the student's weights, in eval mode (arXiv
            2101.08482, section 3).

    Returns:
        The results of the passes, and the new memory of the method.
    """
    weak = training.view(training.weak, batch.pixels, "weak", position.step)
    if not (skip_rejected or ema_teacher):
        strong = training.view(training.augment, batch.pixels, "strong", position.step)
        logits = training.student(torch.cat((images, weak, strong))).float()
        labeled, weak_logits, strong_logits = logits.split((len(images), len(weak), len(strong)))
        weak_logits, memory = debias_logits(training, memory, apply_temperature(weak_logits.detach(), memory))
        selection, memory = select_and_record(
            training, memory, position, predict(weak_logits), batch.index, labeled[: len(targets)], targets
        )
        return ForwardPass(labeled, weak_logits, strong_logits, selection.targets, selection.weight), memory
    compute_logits = ema_logits if ema_teacher else no_grad_logits
    labeled_logits, weak_logits = compute_logits(training, images[: len(targets)], weak)
    weak_logits, memory = debias_logits(training, memory, apply_temperature(weak_logits, memory))
    selection, memory = select_and_record(
        training, memory, position, predict(weak_logits), batch.index, labeled_logits, targets
    )
    weight = selection.weight
    selected = weight.nonzero().squeeze(1) if skip_rejected else torch.arange(len(weight), device=weight.device)
    strong = training.view(training.augment, batch.pixels.index_select(0, selected), "strong", position.step)
    seed_dropout(training.seed, position.step)  # dropout draws as if the weak views had had no pass
    labeled, strong_logits = training.student(torch.cat((images, strong))).float().split((len(images), len(strong)))
    weak_logits, chosen, weight = (each.index_select(0, selected) for each in (weak_logits, selection.targets, weight))
    return ForwardPass(labeled, weak_logits, strong_logits, chosen, weight), memory


@torch.no_grad()
def ema_logits(training: TrainingContext, images: Tensor, weak: Tensor) -> tuple[Tensor | None, Tensor]:
    """Compute logits with the averaged model (EMA of the student's weights), in eval mode and without gradient.

    Returns:
        Logits of the labeled images (None if the threshold policy does not use them), and logits of the weak views.
    """
    teacher = training.teacher.eval()
    labeled = teacher(images).float() if training.policy.uses_labeled else None
    return labeled, teacher(weak).float()


@torch.no_grad()
def no_grad_logits(training: TrainingContext, images: Tensor, weak: Tensor) -> tuple[Tensor | None, Tensor]:
    """Compute logits with the student, without gradient.

    Returns:
        Logits of the labeled images (None if the threshold policy does not use them), and logits of the weak views.
    """
    with freeze_bn_stats(training.student):
        if not training.policy.uses_labeled:
            return None, training.student(weak).float()
        labeled, logits = training.student(torch.cat((images, weak))).float().split((len(images), len(weak)))
    return labeled, logits
