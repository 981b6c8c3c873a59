"""What methods that make their labels at every step share: the batch, the policy's word, the passes, the record."""

from abc import abstractmethod
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from semisup.core.device import to_device
from semisup.core.events import Event
from semisup.core.inference import apply_temperature, predict
from semisup.core.sampling import gather_images, infinite_batch, num_batches
from semisup.core.types import LabeledPredictions, PolicyContext, PolicyOutput, Prefetchable, PseudoLabels, StateDict
from semisup.errors import check_range
from semisup.method._diagnostics import pool_labeled_event
from semisup.method._policy import apply_policy, initial_memory, policy_memory
from semisup.method._protocol import Position, StepLoss, TrainingContext, seed_dropout
from semisup.method.supervised import labeled_step_loss
from semisup.threshold import PolicyWithLoss


@dataclass(frozen=True)
class OnlineMethod:
    """What is the same for all methods that label at every step; abstract.

    Labeled images are unlabeled ones too: N + L images in all, the labeled ones last.

    lambda_unlabeled: weight of the unlabeled loss, 0 or more
    ratio: unlabeled images of a step for each labeled one, 1 or more
    """

    lambda_unlabeled: float
    ratio: int

    def __post_init__(self) -> None:
        check_range("lambda_unlabeled", self.lambda_unlabeled, 0)
        check_range("ratio", self.ratio, 1)

    def init(self, training: TrainingContext) -> StateDict:
        size = len(training.unlabeled) + len(training.labeled)
        return (
            empty_label_memory(size, training.num_classes) | {"round": torch.tensor(0)} | initial_memory(training, size)
        )

    def steps_in_epoch(self, training: TrainingContext, memory: StateDict) -> int:
        return num_batches(len(training.labeled), training.batch_size)

    def loss(self, training: TrainingContext, memory: StateDict, position: Position) -> tuple[StepLoss, StateDict]:
        if self.lambda_unlabeled == 0 or len(training.unlabeled) == 0:
            return labeled_step_loss(training, position, training.weak), memory
        return self.semi_supervised_loss(training, memory, position)

    @abstractmethod
    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        """The loss of a step on labeled and unlabeled images."""

    def needs_evaluation(self, epoch: int) -> bool:
        return False

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        yield from ()
        return memory

    def report(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> Generator[Event, None, StateDict]:
        """The last pseudo-label of every unlabeled image that got one since the report before."""
        size = len(training.unlabeled)
        names = ("targets", "predicted", "confidence", "weight")
        targets, predicted, confidence, weight = (memory[f"said/{name}"][:size] for name in names)
        if not bool((targets >= 0).any()):
            return memory
        memory = memory | {"round": memory["round"] + 1}
        labels = PseudoLabels(torch.empty(size, 0), confidence, predicted)
        selection = PolicyOutput(weight, targets, memory["said/threshold"])
        yield pool_labeled_event(training, position, int(memory["round"]), labels, selection)
        return memory | empty_label_memory(len(memory["said/targets"]), training.num_classes, targets.device)


def empty_label_memory(size: int, num_classes: int, device: torch.device | None = None) -> StateDict:
    """What was last said of each image, before anything was.

    Returns:
        targets: (size,) int64, the pseudo-label, and predicted, the surest class, which it need not be; -1 = nothing.
        confidence, weight: (size,) float32. threshold: (K,) float32.
    """
    return {
        "said/targets": torch.full((size,), -1, device=device),
        "said/predicted": torch.full((size,), -1, device=device),
        "said/confidence": torch.zeros(size, device=device),
        "said/weight": torch.zeros(size, device=device),
        "said/threshold": torch.zeros(num_classes, device=device),
    }


@dataclass(frozen=True)
class Batch:
    """The unlabeled images of a step, on the device.

    index: (U,) int64 in [0, N + L)
    pixels: (U, C, S, S) uint8
    """

    index: Tensor
    pixels: Tensor


def unlabeled_batch(training: TrainingContext, position: Position, ratio: int) -> Batch:
    """U = ratio * batch size of the N unlabeled and L labeled images; the labeled ones of them last."""
    own, others = _drawn(training, position.step, ratio)
    pixels = gather_images(training.unlabeled, own)
    if isinstance(training.unlabeled.pixels, Prefetchable):
        training.unlabeled.pixels.ahead(_drawn(training, position.step + 1, ratio)[0])
    if len(others):
        pixels = torch.cat((pixels, gather_images(training.labeled, others - len(training.unlabeled))))
    return Batch(to_device(torch.cat((own, others)), pixels.device), pixels)


def _drawn(training: TrainingContext, step: int, ratio: int) -> tuple[Tensor, Tensor]:
    """The numbers of a step's images in [0, N) and in [N, N + L), on the CPU."""
    size = len(training.unlabeled) + len(training.labeled)
    index = infinite_batch(training.seed, "unlabeled", size, ratio * training.batch_size, step)
    return index[index < len(training.unlabeled)], index[index >= len(training.unlabeled)]


def select_and_record(
    training: TrainingContext,
    memory: StateDict,
    position: Position,
    labels: PseudoLabels,
    index: Tensor,
    logits: Tensor | None,
    targets: Tensor,
) -> tuple[PolicyOutput, StateDict]:
    """Ask the policy about a batch, and note its word on every image; `logits` (B, K) and `targets` (B,) are of the
    labeled images, None only for a policy that does not ask for them."""
    labeled = None
    if training.policy.uses_labeled:
        assert logits is not None
        labeled = LabeledPredictions(apply_temperature(logits.detach(), memory).softmax(dim=1), targets)
    selection, memory = apply_policy(training, memory, labels, index, PolicyContext(position.progress, labeled))
    said = {
        "targets": selection.targets,
        "predicted": labels.targets,
        "confidence": labels.confidence.float(),
        "weight": selection.weight.float(),
    }
    for name, values in said.items():
        memory[f"said/{name}"].index_copy_(0, index, values)  # in place: a copy of N at every step would cost more
    memory = memory | {"said/threshold": selection.threshold.float()}
    return selection, memory


class ForwardPass(NamedTuple):
    """What the student says of a step's images, and what the policy makes of it.

    labeled: (B, K) float logits with gradient
    weak: (V, K) float logits without, calibrated
    strong: (V, K) float logits with gradient, of the images that are learned
    targets, weight: (V,), of the same images
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
    """Label the weak views of a batch, weigh them, and look at its strong views.

    Together: one pass of [labeled, weak, strong], V = U, so that BatchNorm sees all.
    `skip_rejected`: what has weight 0 is not looked at. The weak views go first, without gradient, and BatchNorm remembers
    nothing of them; then one pass of [labeled, strong of the V kept]. None kept = the supervised step, bit for bit.
    `ema_teacher`: the average of the weights, in eval mode, looks at the weak views (arXiv 2101.08482, section 3).
    """
    weak = training.view(training.weak, batch.pixels, "weak", position.step)
    if not (skip_rejected or ema_teacher):
        strong = training.view(training.augment, batch.pixels, "strong", position.step)
        logits = training.student(torch.cat((images, weak, strong))).float()
        labeled, weak_logits, strong_logits = logits.split((len(images), len(weak), len(strong)))
        weak_logits = apply_temperature(weak_logits.detach(), memory)
        selection, memory = select_and_record(
            training, memory, position, predict(weak_logits), batch.index, labeled, targets
        )
        return ForwardPass(labeled, weak_logits, strong_logits, selection.targets, selection.weight), memory
    known, weak_logits = (ema_logits if ema_teacher else no_grad_logits)(training, images, weak)
    weak_logits = apply_temperature(weak_logits, memory)
    selection, memory = select_and_record(training, memory, position, predict(weak_logits), batch.index, known, targets)
    weight = selection.weight
    kept = weight.nonzero().squeeze(1) if skip_rejected else torch.arange(len(weight), device=weight.device)
    strong = training.view(training.augment, batch.pixels.index_select(0, kept), "strong", position.step)
    seed_dropout(training.seed, position.step)  # as if there had been no weak pass
    labeled, strong_logits = training.student(torch.cat((images, strong))).float().split((len(images), len(strong)))
    return ForwardPass(labeled, weak_logits[kept], strong_logits, selection.targets[kept], weight[kept]), memory


@torch.no_grad()
def ema_logits(training: TrainingContext, images: Tensor, weak: Tensor) -> tuple[Tensor | None, Tensor]:
    """Logits, by the average, of the labeled images, if the policy asks for them, and of the weak views."""
    teacher = training.teacher.eval()
    known = teacher(images).float() if training.policy.uses_labeled else None
    return known, teacher(weak).float()


@torch.no_grad()
def no_grad_logits(training: TrainingContext, images: Tensor, weak: Tensor) -> tuple[Tensor | None, Tensor]:
    """Logits of the labeled images, if the policy asks for them, and of the weak views."""
    with freeze_bn_stats(training.student):
        if not training.policy.uses_labeled:
            return None, training.student(weak).float()
        labeled, logits = training.student(torch.cat((images, weak))).float().split((len(images), len(weak)))
    return labeled, logits


def add_policy_loss(
    training: TrainingContext, loss: Tensor, logits: Tensor, weight: Tensor, memory: StateDict
) -> Tensor:
    """The unlabeled loss () and the policy's own term of it, if it has one; `logits` (V, K) are what is learned on."""
    if not isinstance(training.policy, PolicyWithLoss):
        return loss
    return loss + training.policy.penalty(logits, weight, policy_memory(memory))


def rampup_weight(progress: float, share: float) -> float:
    """min(1, t / (share T)): the weight of the unlabeled loss while it is phased in; 1 throughout with share 0."""
    return min(1.0, progress / share) if share > 0 else 1.0


@contextmanager
def freeze_bn_stats(model: nn.Module) -> Iterator[None]:
    """In here BatchNorm normalizes by the batch and remembers nothing of it."""
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    tracked = [each.track_running_stats for each in norms]
    for each in norms:
        each.track_running_stats = False
    try:
        yield
    finally:
        for each, before in zip(norms, tracked, strict=True):
            each.track_running_stats = before
