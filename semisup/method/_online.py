"""Base class of online methods, which compute pseudo-labels for a batch at every step.

With lambda_unlabeled=0, or without unlabeled images, the loss of a step is only `labeled_loss`. A run with
lambda_unlabeled=0 is the control of the run that has otherwise the same settings.
"""

from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.events import Event
from semisup.core.inference import apply_temperature
from semisup.core.sampling import gather_images, infinite_batch
from semisup.core.types import LabeledPredictions, PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range
from semisup.method._diagnostics import pool_labeled_event
from semisup.method._losses import observe_selection
from semisup.method._policy import apply_policy, initial_memory, observe_labeled_loss, policy_memory, rejection
from semisup.method._protocol import Position, StepLoss, TrainingContext, unlabeled_sums
from semisup.method.supervised import LabeledEpochs, labeled_step_loss
from semisup.threshold import has_own_loss, starts_with_labels


@dataclass(frozen=True)
class OnlineMethod(LabeledEpochs):
    """Base class with the settings and functions that all online methods share.

    Unlabeled batches are drawn from N + L images: the N unlabeled images, followed by the L labeled ones.

    lambda_unlabeled: weight of the unlabeled loss, at least 0
    ratio: number of unlabeled images in a step for each labeled image, at least 1
    ramp: fraction of the training over which the weight of the unlabeled loss increases, in [0, 1]: at step t of T, the
        weight is lambda_unlabeled * min(1, t / (ramp * T))
    """

    lambda_unlabeled: float
    ratio: int
    ramp: float

    uses_weak: ClassVar[bool] = True
    labels_only_settings: ClassVar[tuple[str, ...]] = ("lambda_unlabeled",)

    def __post_init__(self) -> None:
        check_range("lambda_unlabeled", self.lambda_unlabeled, 0)
        check_range("ratio", self.ratio, 1)
        check_range("ramp", self.ramp, 0, 1)

    @property
    def uses_unlabeled(self) -> bool:
        return self.lambda_unlabeled > 0

    def init(self, training: TrainingContext) -> StateDict:
        size = len(training.unlabeled) + len(training.labeled)
        labels = empty_label_memory(size, training.num_classes)
        return labels | {"round": torch.tensor(0)} | initial_memory(training, size)

    def loss(self, training: TrainingContext, memory: StateDict, position: Position) -> tuple[StepLoss, StateDict]:
        if not self.uses_unlabeled or len(training.unlabeled) == 0:
            return self.labeled_loss(training, position), memory
        if starts_with_labels(training.policy) and training.policy.is_labels_only(position.epoch):
            loss = self.labeled_loss(training, position)
            return loss, observe_labeled_loss(training, memory, loss, position)
        return self.semi_supervised_loss(training, memory, position)

    def labeled_loss(self, training: TrainingContext, position: Position) -> StepLoss:
        """Compute the loss of a training step on labeled images only.

        By default, this is the mean loss of their weak views; methods can override it.
        """
        return labeled_step_loss(training, position, training.weak)

    @abstractmethod
    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        """Compute the loss of a training step on labeled and unlabeled images."""

    def total_loss(
        self,
        training: TrainingContext,
        memory: StateDict,
        position: Position,
        labeled: StepLoss,
        unlabeled: "UnlabeledLoss",
    ) -> StepLoss:
        """Add the unlabeled loss of a training step to its labeled loss.

        If the threshold policy has a loss term of its own, the term is first added to the unlabeled loss.
        """
        loss = unlabeled.loss
        if has_own_loss(training.policy):
            loss = loss + training.policy.penalty(unlabeled.logits, unlabeled.weight, policy_memory(memory))
        factor = self.lambda_unlabeled * self.ramp_factor(position.progress)
        return StepLoss(labeled.total + factor * loss, labeled.sums + unlabeled_sums(loss, unlabeled.images))

    def ramp_factor(self, progress: float) -> float:
        """Return the factor in [0, 1] by which lambda_unlabeled is multiplied at this progress of the training.

        The factor is 1 if the setting `ramp` is 0.
        """
        return min(1.0, progress / self.ramp) if self.ramp > 0 else 1.0

    def report(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> Generator[Event, None, StateDict]:
        """Yield an event with the latest pseudo-label of each image that was labeled since the previous report."""
        size = len(training.unlabeled)
        names = ("targets", "predicted", "confidence", "weight")
        targets, predicted, confidence, weight = (memory[f"last/{name}"][:size] for name in names)
        if not bool((targets >= 0).any()):
            return memory
        memory = memory | {"round": memory["round"] + 1}
        labels = PseudoLabels(torch.empty(size, 0), confidence, predicted)
        selection = PolicyOutput(weight, targets, memory["last/threshold"])
        yield pool_labeled_event(training, position, int(memory["round"]), labels, selection, rejection(memory))
        return memory | empty_label_memory(len(memory["last/targets"]), training.num_classes, targets.device)


class UnlabeledLoss(NamedTuple):
    """Unlabeled loss of a training step, and the logits from which it was computed.

    V is the number of images in the loss: all unlabeled images, only the selected ones, or (mixmatch) mixed images.

    loss: (), mean over all unlabeled images of the step
    logits: (V, K), with gradient
    weight: (V,), weights of the V images
    images: number of all unlabeled images of the step, selected or not
    """

    loss: Tensor
    logits: Tensor
    weight: Tensor
    images: int


def empty_label_memory(size: int, num_classes: int, device: torch.device | None = None) -> StateDict:
    """Create the entries of the memory in which an online method stores the latest pseudo-label of each image.

    Args:
        size: number of images.

    Returns:
        last/targets: (size,) int64, the pseudo-label; -1 = none.
        last/predicted: (size,) int64, the most probable class; -1 = none. It can differ from the pseudo-label if the
            threshold policy aligns distributions.
        last/confidence, last/weight: (size,) float32, confidence and weight of the pseudo-label.
        last/threshold: (K,) float32, latest threshold of each class.
    """
    return {
        "last/targets": torch.full((size,), -1, device=device),
        "last/predicted": torch.full((size,), -1, device=device),
        "last/confidence": torch.zeros(size, device=device),
        "last/weight": torch.zeros(size, device=device),
        "last/threshold": torch.zeros(num_classes, device=device),
    }


@dataclass(frozen=True)
class Batch:
    """The unlabeled images of a training step, on the device of the model.

    index: (U,) int64, indices of the images: in [0, N) for unlabeled images, in [N, N + L) for labeled images
    pixels: (U, C, S, S) uint8
    """

    index: Tensor
    pixels: Tensor


def unlabeled_batch(training: TrainingContext, position: Position, ratio: int) -> Batch:
    """Load the batch that a training step uses as unlabeled images.

    It has U = ratio * batch_size images, drawn at random from the N unlabeled and the L labeled images, which are used
    without their labels. The labeled images come last in the batch.
    """
    unlabeled, labeled = _draw_indices(training, position.step, ratio)
    pixels = gather_images(training.unlabeled, unlabeled)
    if training.prefetchable is not None:
        training.prefetchable.ahead(_draw_indices(training, position.step + 1, ratio)[0])
    if len(labeled):
        pixels = torch.cat((pixels, gather_images(training.labeled, labeled - len(training.unlabeled))))
    return Batch(to_device(torch.cat((unlabeled, labeled)), pixels.device), pixels)


def _draw_indices(training: TrainingContext, step: int, ratio: int) -> tuple[Tensor, Tensor]:
    """Draw the indices of the images for the unlabeled batch of a training step, on the CPU.

    Returns:
        Indices of unlabeled images, in [0, N), and of labeled images, in [N, N + L).
    """
    size = len(training.unlabeled) + len(training.labeled)
    index = infinite_batch(training.seed, "unlabeled", size, ratio * training.batch_size, step).numpy()
    unlabeled = index < len(training.unlabeled)  # selection by a mask is faster in numpy
    return torch.from_numpy(index[unlabeled]), torch.from_numpy(index[~unlabeled])


def select_and_record(
    training: TrainingContext,
    memory: StateDict,
    position: Position,
    labels: PseudoLabels,
    index: Tensor,
    logits: Tensor | None,
    targets: Tensor,
) -> tuple[PolicyOutput, StateDict]:
    """Apply the threshold policy to a batch of pseudo-labels, and store the pseudo-labels for the next report.

    Args:
        labels: pseudo-labels of the U images of the unlabeled batch.
        index: (U,), indices of these images, as in `Batch`.
        logits: (B, K), logits of the labeled batch; may be None if the policy does not use labeled images.
        targets: (B,), classes of the labeled batch.

    Returns:
        The policy's output, and the new memory of the method.
    """
    labeled = None
    if training.policy.uses_labeled:
        assert logits is not None
        labeled = LabeledPredictions(apply_temperature(logits.detach(), memory).softmax(dim=1), targets)
    context = PolicyContext(position.progress, labeled, position.epoch, training.class_shares)
    selection, memory = apply_policy(training, memory, labels, index, context)
    memory = observe_selection(training, memory, selection)
    record = {
        "targets": selection.targets,
        "predicted": labels.targets,
        "confidence": labels.confidence.float(),
        "weight": selection.weight.float(),
    }
    for name, values in record.items():
        memory[f"last/{name}"].index_copy_(0, index, values)  # in place: copying N values at every step costs more
    memory = memory | {"last/threshold": selection.threshold.float()}
    return selection, memory
