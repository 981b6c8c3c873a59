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
from semisup.core.inference import calibrated, label
from semisup.core.sampling import count, endless, taken
from semisup.core.types import Context, Labeled, Labels, Memory, ReadAhead, Selection
from semisup.errors import in_range
from semisup.method._diagnostics import relabeled
from semisup.method._policy import ask, first_memory, policy_memory
from semisup.method._protocol import Learner, Losses, Place, seed_forward
from semisup.method.supervised import labeled_losses
from semisup.threshold import Penalizing


@dataclass(frozen=True)
class EveryStep:
    """What is the same for all methods that label at every step; abstract.

    Labeled images are unlabeled ones too: N + L images in all, the labeled ones last.

    lambda_unlabeled: weight of the unlabeled loss, 0 or more
    ratio: unlabeled images of a step for each labeled one, 1 or more
    """

    lambda_unlabeled: float
    ratio: int

    def __post_init__(self) -> None:
        in_range("lambda_unlabeled", self.lambda_unlabeled, 0)
        in_range("ratio", self.ratio, 1)

    def init(self, learner: Learner) -> Memory:
        size = len(learner.unlabeled) + len(learner.labeled)
        return nothing_said(size, learner.num_classes) | {"round": torch.tensor(0)} | first_memory(learner, size)

    def steps_in_epoch(self, learner: Learner, memory: Memory) -> int:
        return count(len(learner.labeled), learner.batch_size)

    def loss(self, learner: Learner, memory: Memory, place: Place) -> tuple[Losses, Memory]:
        if self.lambda_unlabeled == 0 or len(learner.unlabeled) == 0:
            return labeled_losses(learner, place, learner.weak), memory
        return self.loss_of_both(learner, memory, place)

    @abstractmethod
    def loss_of_both(self, learner: Learner, memory: Memory, place: Place) -> tuple[Losses, Memory]:
        """The loss of a step on labeled and unlabeled images."""

    def wants_evaluation(self, epoch: int) -> bool:
        return False

    def after_evaluation(
        self, learner: Learner, memory: Memory, place: Place, accuracy: float
    ) -> Generator[Event, None, Memory]:
        yield from ()
        return memory

    def report(self, learner: Learner, memory: Memory, place: Place) -> Generator[Event, None, Memory]:
        """The last pseudo-label of every unlabeled image that got one since the report before."""
        size = len(learner.unlabeled)
        names = ("targets", "predicted", "confidence", "weight")
        targets, predicted, confidence, weight = (memory[f"said/{name}"][:size] for name in names)
        if not bool((targets >= 0).any()):
            return memory
        memory = memory | {"round": memory["round"] + 1}
        labels = Labels(torch.empty(size, 0), confidence, predicted)
        selection = Selection(weight, targets, memory["said/threshold"])
        yield relabeled(learner, place, int(memory["round"]), labels, selection)
        return memory | nothing_said(len(memory["said/targets"]), learner.num_classes, targets.device)


def nothing_said(size: int, num_classes: int, device: torch.device | None = None) -> Memory:
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


def unlabeled_batch(learner: Learner, place: Place, ratio: int) -> Batch:
    """U = ratio * batch size of the N unlabeled and L labeled images; the labeled ones of them last."""
    own, others = _drawn(learner, place.step, ratio)
    pixels = taken(learner.unlabeled, own)
    if isinstance(learner.unlabeled.pixels, ReadAhead):
        learner.unlabeled.pixels.ahead(_drawn(learner, place.step + 1, ratio)[0])
    if len(others):
        pixels = torch.cat((pixels, taken(learner.labeled, others - len(learner.unlabeled))))
    return Batch(to_device(torch.cat((own, others)), pixels.device), pixels)


def _drawn(learner: Learner, step: int, ratio: int) -> tuple[Tensor, Tensor]:
    """The numbers of a step's images in [0, N) and in [N, N + L), on the CPU."""
    size = len(learner.unlabeled) + len(learner.labeled)
    index = endless(learner.seed, "unlabeled", size, ratio * learner.batch_size, step)
    return index[index < len(learner.unlabeled)], index[index >= len(learner.unlabeled)]


def weigh(
    learner: Learner,
    memory: Memory,
    place: Place,
    labels: Labels,
    index: Tensor,
    logits: Tensor | None,
    targets: Tensor,
) -> tuple[Selection, Memory]:
    """Ask the policy about a batch, and note its word on every image; `logits` (B, K) and `targets` (B,) are of the
    labeled images, None only for a policy that does not ask for them."""
    labeled = None
    if learner.policy.uses_labeled:
        assert logits is not None
        labeled = Labeled(calibrated(logits.detach(), memory).softmax(dim=1), targets)
    selection, memory = ask(learner, memory, labels, index, Context(place.progress, labeled))
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


class Pass(NamedTuple):
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


def weak_and_strong(
    learner: Learner,
    memory: Memory,
    place: Place,
    images: Tensor,
    targets: Tensor,
    batch: Batch,
    skip_rejected: bool,
    ema_teacher: bool,
) -> tuple[Pass, Memory]:
    """Label the weak views of a batch, weigh them, and look at its strong views.

    Together: one pass of [labeled, weak, strong], V = U, so that BatchNorm sees all.
    `skip_rejected`: what has weight 0 is not looked at. The weak views go first, without gradient, and BatchNorm remembers
    nothing of them; then one pass of [labeled, strong of the V kept]. None kept = the supervised step, bit for bit.
    `ema_teacher`: the average of the weights, in eval mode, looks at the weak views (arXiv 2101.08482, section 3).
    """
    weak = learner.view(learner.weak, batch.pixels, "weak", place.step)
    if not (skip_rejected or ema_teacher):
        strong = learner.view(learner.augment, batch.pixels, "strong", place.step)
        logits = learner.student(torch.cat((images, weak, strong))).float()
        labeled, weak_logits, strong_logits = logits.split((len(images), len(weak), len(strong)))
        weak_logits = calibrated(weak_logits.detach(), memory)
        selection, memory = weigh(learner, memory, place, label(weak_logits), batch.index, labeled, targets)
        return Pass(labeled, weak_logits, strong_logits, selection.targets, selection.weight), memory
    known, weak_logits = (said_ema_teacher if ema_teacher else without_gradient)(learner, images, weak)
    weak_logits = calibrated(weak_logits, memory)
    selection, memory = weigh(learner, memory, place, label(weak_logits), batch.index, known, targets)
    weight = selection.weight
    kept = weight.nonzero().squeeze(1) if skip_rejected else torch.arange(len(weight), device=weight.device)
    strong = learner.view(learner.augment, batch.pixels.index_select(0, kept), "strong", place.step)
    seed_forward(learner.seed, place.step)  # as if there had been no weak pass
    labeled, strong_logits = learner.student(torch.cat((images, strong))).float().split((len(images), len(strong)))
    return Pass(labeled, weak_logits[kept], strong_logits, selection.targets[kept], weight[kept]), memory


@torch.no_grad()
def said_ema_teacher(learner: Learner, images: Tensor, weak: Tensor) -> tuple[Tensor | None, Tensor]:
    """Logits, by the average, of the labeled images, if the policy asks for them, and of the weak views."""
    teacher = learner.teacher.eval()
    known = teacher(images).float() if learner.policy.uses_labeled else None
    return known, teacher(weak).float()


@torch.no_grad()
def without_gradient(learner: Learner, images: Tensor, weak: Tensor) -> tuple[Tensor | None, Tensor]:
    """Logits of the labeled images, if the policy asks for them, and of the weak views."""
    with frozen_statistics(learner.student):
        if not learner.policy.uses_labeled:
            return None, learner.student(weak).float()
        labeled, logits = learner.student(torch.cat((images, weak))).float().split((len(images), len(weak)))
    return labeled, logits


def with_penalty(learner: Learner, loss: Tensor, logits: Tensor, weight: Tensor, memory: Memory) -> Tensor:
    """The unlabeled loss () and the policy's own term of it, if it has one; `logits` (V, K) are what is learned on."""
    if not isinstance(learner.policy, Penalizing):
        return loss
    return loss + learner.policy.penalty(logits, weight, policy_memory(memory))


def ramp(progress: float, share: float) -> float:
    """min(1, t / (share T)): the weight of the unlabeled loss while it is phased in; 1 throughout with share 0."""
    return min(1.0, progress / share) if share > 0 else 1.0


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
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
