"""FixMatch (arXiv 2001.07685): label the weak view, learn it on the strong view.

    loss = mean CE(labeled) + lambda_unlabeled r(t) / U  sum_i weight_i CE(strong_i, target_i)

Targets are the surest classes of the weak views, weights are the threshold policy's: `threshold=fixed` is FixMatch,
and flexmatch, freematch (whose own term is added), softmatch, adamatch and dash are those papers' methods. Nothing
flows back through the labels. The papers' one pass of [labeled, weak, strong], or only what is kept of it:
`_steps.weak_and_strong`.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import cross_entropy

from semisup.core.losses import weighted_cross_entropy
from semisup.core.types import StateDict
from semisup.errors import check_range
from semisup.method._online import OnlineMethod, add_policy_loss, forward_weak_strong, rampup_weight, unlabeled_batch
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums, unlabeled_sums


@dataclass(frozen=True)
class FixMatch(OnlineMethod):
    """`lambda_unlabeled` >= 0; `ratio` >= 1: unlabeled images of a step for each labeled one (mu); `ramp` in [0, 1]:
    the share of the training over which the unlabeled loss is phased in, r(t) = min(1, t / (ramp T)); `skip_rejected`:
    strong views of weight 0 are not looked at; `ema_teacher`: the average of the weights labels the weak views."""

    ramp: float
    skip_rejected: bool
    ema_teacher: bool

    uses_unlabeled: ClassVar[bool] = True
    uses_weak: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("ramp", self.ramp, 0, 1)

    @property
    def needs_ema(self) -> bool:
        return self.ema_teacher

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        batch = unlabeled_batch(training, position, self.ratio)
        seen, memory = forward_weak_strong(
            training, memory, position, images, targets, batch, self.skip_rejected, self.ema_teacher
        )
        supervised = cross_entropy(seen.labeled, targets)
        unlabeled = weighted_cross_entropy(seen.strong, seen.targets, seen.weight, len(batch.index))
        unlabeled = add_policy_loss(training, unlabeled, seen.strong, seen.weight, memory)
        sums = labeled_sums(supervised, seen.labeled, targets) + unlabeled_sums(unlabeled, len(batch.index))
        factor = self.lambda_unlabeled * rampup_weight(position.progress, self.ramp)
        return StepLoss(supervised + factor * unlabeled, sums), memory
