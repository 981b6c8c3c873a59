"""MixMatch (arXiv 1905.02249): guess by two views, sharpen, and mix everything with everything.

    q_i = sharpen(mean of 2 weak predictions, temperature)
    l' = max(l, 1 - l), l ~ Beta(alpha, alpha)
    x' = l' x + (1 - l') x_shuffled, targets likewise, over [labeled, weak, weak']
    loss = mean CE(labeled') + lambda_unlabeled r(t) / (2 U K)  sum_i weight_i |softmax(z'_i) - q'_i|^2

The guesses leave no trace in BatchNorm; the policy weighs the averaged guess, and its weight goes with the image.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from semisup.core.device import to_device
from semisup.core.inference import apply_temperature, predict
from semisup.core.rng import numpy_generator, torch_generator
from semisup.core.types import PseudoLabels, StateDict
from semisup.errors import check_range
from semisup.method._online import OnlineMethod, freeze_bn_stats, rampup_weight, select_and_record, unlabeled_batch
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums, unlabeled_sums


@dataclass(frozen=True)
class MixMatch(OnlineMethod):
    """`lambda_unlabeled` >= 0; `ratio` >= 1: unlabeled images of a step for each labeled one; `ramp` in [0, 1]: the
    share of the training over which the unlabeled loss is phased in; `temperature`, `alpha` > 0."""

    ramp: float
    temperature: float
    alpha: float

    uses_unlabeled: ClassVar[bool] = True
    uses_weak: ClassVar[bool] = True
    needs_ema: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("ramp", self.ramp, 0, 1)
        check_range("temperature", self.temperature, 0, above=True)
        check_range("alpha", self.alpha, 0, above=True)

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        batch = unlabeled_batch(training, position, self.ratio)
        views = [training.view(training.weak, batch.pixels, name, position.step) for name in ("weak", "other_weak")]
        with torch.no_grad(), freeze_bn_stats(training.student):
            guesses = training.student(torch.cat((images, *views))).float()
        known, *guessed = guesses.split((len(images), *map(len, views)))
        mean = torch.stack([predict(apply_temperature(each, memory)).probabilities for each in guessed]).mean(dim=0)
        confidence, surest = mean.max(dim=1)
        selection, memory = select_and_record(
            training, memory, position, PseudoLabels(mean, confidence, surest), batch.index, known, targets
        )

        sharp = sharpen(mean, self.temperature)
        everything = torch.cat((images, *views))
        certain = torch.eye(training.num_classes, dtype=sharp.dtype, device=sharp.device)[targets]
        wanted = torch.cat((certain, sharp, sharp))
        order = torch.randperm(
            len(everything), generator=torch_generator(training.seed, "mixup", "order", position.step)
        )
        order = to_device(order, everything.device)
        share = float(numpy_generator(training.seed, "mixup", "share", position.step).beta(self.alpha, self.alpha))
        share = max(share, 1 - share)
        logits = training.student(everything.lerp(everything[order], 1 - share)).float()
        wanted = wanted.lerp(wanted[order], 1 - share)

        labeled, rest = logits[: len(images)], logits[len(images) :]
        supervised = cross_entropy(labeled, wanted[: len(images)])
        distance = (rest.softmax(dim=1) - wanted[len(images) :]).square().mean(dim=1)  # (2 U,)
        unlabeled = (distance * selection.weight.repeat(2)).sum() / len(rest)
        sums = labeled_sums(supervised, labeled, targets) + unlabeled_sums(unlabeled, len(batch.index))
        factor = self.lambda_unlabeled * rampup_weight(position.progress, self.ramp)
        return StepLoss(supervised + factor * unlabeled, sums), memory


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """(U, K) -> p^(1 / temperature), rows summing to 1 again."""
    return torch.softmax(probabilities.clamp(min=1e-12).log() / temperature, dim=1)
