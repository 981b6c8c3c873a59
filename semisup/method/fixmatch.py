"""FixMatch (arXiv 2001.07685): label the weak view and train the strong view on that label.

    loss = mean CE(labeled) + lambda_unlabeled r(t) / U  sum_i weight_i CE(strong_i, target_i)

`target_i` is the most probable class of the weak view and `weight_i` comes from the threshold policy: with
`threshold=fixed` this is FixMatch; with flexmatch, freematch (whose own term is added), softmatch, adamatch or dash
it is the method of that paper. There is no gradient through the labels. `forward_weak_strong` in `_online.py`
describes the forward passes.
"""

from dataclasses import dataclass

from torch.nn.functional import cross_entropy

from semisup.core.losses import weighted_cross_entropy
from semisup.core.types import StateDict
from semisup.errors import check_range
from semisup.method._online import OnlineMethod, add_policy_loss, forward_weak_strong, rampup_weight, unlabeled_batch
from semisup.method._protocol import Position, StepLoss, TrainingContext, labeled_sums, unlabeled_sums


@dataclass(frozen=True)
class FixMatch(OnlineMethod):
    """Settings of FixMatch; see `OnlineMethod` for `lambda_unlabeled` and `ratio`.

    ramp: share of the training over which the unlabeled loss is ramped up, in [0, 1]: r(t) = min(1, t / (ramp T))
    skip_rejected: leave strong views of weight 0 out of the forward pass
    ema_teacher: the average of the weights labels the weak views
    """

    ramp: float
    skip_rejected: bool
    ema_teacher: bool

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
        forward, memory = forward_weak_strong(
            training, memory, position, images, targets, batch, self.skip_rejected, self.ema_teacher
        )
        supervised = cross_entropy(forward.labeled, targets)
        unlabeled = weighted_cross_entropy(forward.strong, forward.targets, forward.weight, len(batch.index))
        unlabeled = add_policy_loss(training, unlabeled, forward.strong, forward.weight, memory)
        sums = labeled_sums(supervised, forward.labeled, targets) + unlabeled_sums(unlabeled, len(batch.index))
        factor = self.lambda_unlabeled * rampup_weight(position.progress, self.ramp)
        return StepLoss(supervised + factor * unlabeled, sums), memory
