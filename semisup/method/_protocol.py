"""Interface of methods, and the values that the training loop passes to them."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from semisup.augment import Augment
from semisup.core.device import seed_mps, sum_dtype, to_device
from semisup.core.events import Event
from semisup.core.inference import apply_temperature, iter_logits, predict
from semisup.core.losses import ClassTerms
from semisup.core.rng import derive_seed, seed_global, torch_generator
from semisup.core.sampling import epoch_batch, gather_images
from semisup.core.types import Images, LabeledPredictions, PolicyContext, Prefetchable, StateDict
from semisup.debias import Debias
from semisup.loss import Loss
from semisup.runtime import distributed
from semisup.threshold import Policy


class Position(NamedTuple):
    """Position of an optimizer step in the training.

    step: number of optimizer updates before this step
    epoch: number of epochs completed before this step
    position: number of steps of this epoch before this step
    progress: fraction of the training before this step, in [0, 1]
    """

    step: int
    epoch: int
    position: int
    progress: float


@dataclass(frozen=True)
class TrainingContext:
    """Models, data and settings that the training loop passes to every method.

    student: the model that is trained
    teacher: the student or, with `train.ema_decay`, the moving average of its weights
    restart: function that reinitializes the student, its optimizer and its average; its argument is the number of the
        round (the training between two labelings of the unlabeled set), which determines the random weights
    labeled, unlabeled: the images of these two splits
    hidden_targets: (N,) int64, true classes of the unlabeled images, on the CPU; K = none of the classes, -1 = unknown;
        for diagnostics only
    validation_targets: (V,) int64 in [0, K), true classes of the V validation images; empty with `train.refit`
    augment: the training augmentation; online methods use it for the strong views
    weak: augmentation of the weak views
    teachers: number of labelings whose probabilities are averaged for a pseudo-label; 1 = only the present one
    """

    student: nn.Module
    teacher: nn.Module
    restart: Callable[[int], None]
    labeled: Images
    unlabeled: Images
    hidden_targets: Tensor
    validation_targets: Tensor
    num_classes: int
    augment: Augment
    weak: Augment
    policy: Policy
    loss: Loss
    debias: Debias
    teachers: int
    seed: int
    batch_size: int
    eval_batch_size: int

    @cached_property
    def prefetchable(self) -> Prefetchable | None:
        """The unlabeled images if they can be read in the background, else None."""
        # `isinstance` with a protocol takes 10 microseconds, about 1 % of a step on features
        return self.unlabeled.pixels if isinstance(self.unlabeled.pixels, Prefetchable) else None

    @cached_property
    def labeled_counts(self) -> Tensor:
        """Number of labeled images of each class, (K,) float32 on the device."""
        targets = self.labeled.targets
        counts = torch.zeros(self.num_classes, device=targets.device)
        return counts.index_add(0, targets, torch.ones(len(targets), device=targets.device))  # bincount would wait

    @cached_property
    def class_shares(self) -> Tensor:
        """Share of each class in the labeled images, (K,) float32 on the device."""
        return self.labeled_counts / self.labeled_counts.sum().clamp(min=1)

    @cached_property
    def labeled_terms(self) -> ClassTerms:
        """Values to add to the logits in the loss of labeled images, and class weights, both from the option `loss`."""
        return self.loss.labeled(self.labeled_counts)

    def view(self, augment: Augment, pixels: Tensor, name: str, step: int) -> Tensor:
        """Augment images.

        Args:
            pixels: (n, C, S, S) uint8.
            name, step: together with the seed, they determine the random draws.

        Returns:
            (n, C, S, S) float in [0, 1].
        """
        return augment.apply(pixels, torch_generator(self.seed, "augment", name, step))

    def labeled_batch(self, position: Position, augment: Augment, name: str = "labeled") -> tuple[Tensor, Tensor]:
        """Load the labeled batch of a step and augment it.

        Args:
            name: together with seed and step, it determines the random draws of the augmentation.

        Returns:
            Augmented images (n, C, S, S) float and classes (n,) int64; n <= batch_size.
        """
        images = self.labeled
        index = epoch_batch(self.seed, "labeled", position.epoch, len(images), self.batch_size, position.position)
        pixels, index = gather_images(images, index), to_device(index, images.targets.device)
        return self.view(augment, pixels, name, position.step), images.targets.index_select(0, index)

    def context(self, position: Position, memory: StateDict) -> PolicyContext:
        """Build the input of the threshold policy for a labeling of the whole unlabeled set.

        If the policy uses labeled images, the teacher predicts the whole labeled set.
        """
        if not self.policy.uses_labeled:
            return PolicyContext(position.progress, None, position.epoch, self.class_shares)
        batches = iter_logits(self.teacher, self.labeled.pixels, self.eval_batch_size)
        logits = apply_temperature(torch.cat(list(batches)), memory)
        labeled = LabeledPredictions(predict(logits).probabilities, self.labeled.targets)
        return PolicyContext(position.progress, labeled, position.epoch, self.class_shares)


def seed_dropout(seed: int, step: int) -> None:
    """Seed the random draws inside the model (dropout, stochastic depth) for a step.

    If several processes train the run, each process has other draws.
    """
    rank = (distributed.rank(),) if distributed.world_size() > 1 else ()
    drawn = derive_seed(seed, "forward", step, *rank)
    seed_global(drawn)
    seed_mps(drawn)


class StepLoss(NamedTuple):
    """Loss of one training step, and its contributions to the logged metrics.

    total: () float, the loss, with gradient
    sums: (len(LOG_SUMS),) float64 (float32 on mps), the step's contribution to each of the sums named in LOG_SUMS,
        which are accumulated until the next evaluation
    """

    total: Tensor
    sums: Tensor


LOG_SUMS = ("labeled_loss", "labeled_correct", "labeled_images", "labeled_steps", "unlabeled_loss", "unlabeled_images")


def make_sums(like: Tensor, **values: Tensor | float) -> Tensor:
    """Build the tensor `StepLoss.sums` on the device of `like`.

    Args:
        values: contributions of the step, by name of the sum in LOG_SUMS; those not given are 0.

    Returns:
        (len(LOG_SUMS),) float64, or float32 on mps.
    """
    sums = torch.zeros(len(LOG_SUMS), dtype=sum_dtype(like.device), device=like.device)
    for name, value in values.items():
        sums[LOG_SUMS.index(name)].fill_(value)  # assignment by [] would wait for the GPU
    return sums


def labeled_sums(loss: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the part of `StepLoss.sums` that comes from n labeled images.

    Args:
        loss: (), mean loss of the images.
        logits: (n, K).
        targets: (n,) classes.
    """
    correct = (logits.argmax(dim=1) == targets).sum()
    count = len(targets)
    return make_sums(
        loss, labeled_loss=loss.detach() * count, labeled_correct=correct, labeled_images=count, labeled_steps=1
    )


def unlabeled_sums(loss: Tensor, count: int) -> Tensor:
    """Compute the part of `StepLoss.sums` that comes from `count` unlabeled images with the mean loss `loss`, ()."""
    return make_sums(loss, unlabeled_loss=loss.detach() * count, unlabeled_images=count)


class Method(Protocol):
    """Interface of a method: its settings, and functions that compute its losses and pseudo-labels.

    uses_weak: whether the method uses the weak augmentation.
    labels_only_settings: names of the settings that have an effect in a run without unlabeled images.
    """

    uses_weak: ClassVar[bool]
    labels_only_settings: ClassVar[tuple[str, ...]]

    @property
    def uses_unlabeled(self) -> bool:
        """Whether the method trains on unlabeled images; False with lambda_unlabeled=0."""
        ...

    @property
    def needs_ema(self) -> bool:
        """Whether the method needs an average of the student's weights; if so, `train.ema_decay` must be set."""
        ...

    def init(self, training: TrainingContext) -> StateDict:
        """Build the method's memory before the first step."""
        ...

    def steps_in_epoch(self, training: TrainingContext, memory: StateDict) -> int:
        """Return the number of optimizer steps of the next epoch; pseudo-labels can make it longer."""
        ...

    def loss(self, training: TrainingContext, memory: StateDict, position: Position) -> tuple[StepLoss, StateDict]:
        """Compute the loss of one step, and the new memory. The student must be in training mode."""
        ...

    def needs_evaluation(self, epoch: int) -> bool:
        """Whether the method needs the validation accuracy after `epoch` epochs, as the input of `on_evaluation`."""
        ...

    def on_evaluation(
        self, training: TrainingContext, memory: StateDict, position: Position, accuracy: float
    ) -> Generator[Event, None, StateDict]:
        """Label the unlabeled set after an evaluation if the method's settings require it; yield events.

        Args:
            position: position in the training; `epoch` is the number of finished epochs.
            accuracy: validation accuracy, in [0, 1].

        Returns:
            The new memory.
        """
        ...

    def report(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> Generator[Event, None, StateDict]:
        """Yield diagnostic events after an evaluation, and return the new memory. Must not affect the training."""
        ...


def labels_by_model(method: Method) -> bool:
    """Whether a method computes pseudo-labels with the trained model; label propagation does not."""
    return bool(getattr(method, "labels_by_model", True))


def unlabeled_cross_entropy(method: Method) -> bool:
    """Whether a method's loss on pseudo-labels is a cross-entropy; it is not for mixmatch and mean_teacher."""
    return bool(getattr(method, "unlabeled_cross_entropy", True))


@runtime_checkable
class Prepares(Protocol):
    """Interface of a method that computes something once, before the first training step."""

    def prepare(self, training: TrainingContext, memory: StateDict) -> Generator[Event, None, StateDict]:
        """Compute values that all steps need, such as propagated labels, and return them in the new memory.

        Called at every start of the training. If a stopped run is resumed, the memory may already contain the values.
        Yields Progress events; after each of them, the training can be stopped.
        """
        ...


@runtime_checkable
class HoldsAllImages(Protocol):
    """Interface of a method that keeps a float32 copy of all training images (or features) in memory."""

    def memory_bytes(self, images: int, values: int) -> int:
        """Return the size in bytes of the float32 copy of the images.

        Args:
            images: number of images.
            values: number of values of each image.
        """
        ...


@runtime_checkable
class OfflineMethod(Protocol):
    """Interface of an offline method, which labels the whole unlabeled set at once, after some of the evaluations.

    Before the first labeling, an offline method trains on labels only and does not call the threshold policy. So runs
    that differ only in the policy are identical until the first labeling.

    settings_after_labeling: names of the method's settings that have no effect before the first labeling
    """

    settings_after_labeling: ClassVar[tuple[str, ...]]

    def has_pseudo_labels(self, memory: StateDict) -> bool:
        """Whether the unlabeled set has been labeled at least once."""
        ...

    def will_relabel(self, training: TrainingContext, position: Position, accuracy: float) -> bool:
        """Whether `on_evaluation` with these arguments would label the unlabeled set."""
        ...


@runtime_checkable
class Gated(Protocol):
    """Interface of an offline method that labels the unlabeled set only above a validation accuracy."""

    def gate_accuracy(self, validation_targets: Tensor) -> float:
        """Return the validation accuracy above which the unlabeled set is labeled, in [0, 1].

        Args:
            validation_targets: (V,) int64, true classes of the validation images.
        """
        ...
