"""Label propagation (arXiv 1904.04717): pseudo-labels come from the nearest neighbors, not from the model.

    loss = mean CE(labeled) + lambda_unlabeled * r(t) / U * sum_i weight_i * CE(strong_i, target_i)
    r(t) = min(1, t / (ramp * T))        at step t of T

CE is the cross-entropy, U is the number of unlabeled images of a step, and strong_i is the strong view of image i.

Before the first step, the labels are propagated once over a graph that connects each labeled or unlabeled image to its
nearest neighbors (`core/label_propagation.py`). Distances are between the stored features of an encoder or, without an
encoder, between the pixels. target_i is the class with the highest propagated probability, and this probability is the
confidence of image i. The threshold policy computes weight_i from it.

Assumption: with prior=uniform, all classes are equally frequent among labeled and unlabeled images; if they are not,
rare classes get too many labels. prior=labels assumes the class frequencies of the labels. prior=none assumes nothing,
and favors classes whose images have many neighbors.

In the paper, the graph is computed again during the training, from the features of the trained network.

Cost: for n images of D features, the graph takes n^2 * D multiplications (on one core, one second for 3,000 images of
1,280 features, and 6 minutes for 100,000). The propagation takes log(1e-6) / log(neighbor_share) products with a sparse
matrix: 86 for neighbor_share=0.85, 1,375 for 0.99. The float32 copy of the features takes 4 * n * D bytes of memory. If
a run is stopped during the propagation, the propagation starts again when the run continues.
"""

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.added_setting import added
from semisup.core.batch_norm import freeze_bn_stats
from semisup.core.events import Event, Progress
from semisup.core.generators import returned_value
from semisup.core.inference import plain_input
from semisup.core.label_propagation import PRIORS, propagate_labels
from semisup.core.types import Images, PseudoLabels, StateDict
from semisup.errors import check_choice, check_range
from semisup.method._losses import labeled_cross_entropy, pseudo_label_cross_entropy
from semisup.method._online import (
    OnlineMethod,
    UnlabeledLoss,
    select_and_record,
    unlabeled_batch,
)
from semisup.method._protocol import (
    Position,
    StepLoss,
    TrainingContext,
    labeled_sums,
    seed_dropout,
)
from semisup.runtime.distributed import from_leader, world_size

PROPAGATED = "propagated"
"""Name of the tensor with the propagated probabilities, (N + L, K) float32; the L labeled images come last."""

BLOCK = 1024
"""Rows of the features that are hashed at once."""


@dataclass(frozen=True)
class LabelPropagation(OnlineMethod):
    """Settings of label propagation, in addition to those of `OnlineMethod`.

    neighbors: number of nearest neighbors to which each image is connected, at least 1
    neighbor_share: fraction of a propagated label that comes from the neighbors, in [0, 0.99]
    power: exponent of the similarities, in [0, 100]
    skip_rejected: whether strong views of weight 0 are left out of the forward pass
    prior: assumed class frequencies: uniform, labels (those of the labels) or none (no assumption)
    """

    ramp: float
    neighbors: int
    neighbor_share: float
    power: float
    skip_rejected: bool
    prior: str = field(metadata=added("uniform"))

    needs_ema: ClassVar[bool] = False
    labels_by_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("ramp", self.ramp, 0, 1)
        check_range("neighbors", self.neighbors, 1)
        check_range("neighbor_share", self.neighbor_share, 0, 0.99)
        check_range("power", self.power, 0, 100)
        check_choice("prior", self.prior, PRIORS)

    def prepare(self, training: TrainingContext, memory: StateDict) -> Generator[Event, None, StateDict]:
        if PROPAGATED in memory or not self.uses_unlabeled or len(training.unlabeled) == 0:
            return memory
        if world_size() == 1:
            propagated = yield from self._propagate(training)
        else:  # events would have to be the same in all processes
            targets = training.labeled.targets
            shape = len(training.unlabeled) + len(targets), training.num_classes
            propagated = from_leader(lambda: returned_value(self._propagate(training)), *shape, device=targets.device)
        return memory | {PROPAGATED: propagated}

    def semi_supervised_loss(
        self, training: TrainingContext, memory: StateDict, position: Position
    ) -> tuple[StepLoss, StateDict]:
        images, targets = training.labeled_batch(position, training.weak)
        batch = unlabeled_batch(training, position, self.ratio)
        probabilities = memory[PROPAGATED][batch.index]
        labels = PseudoLabels(probabilities, *probabilities.max(dim=1))
        logits = _labeled_logits(training, images) if training.policy.uses_labeled else None
        selection, memory = select_and_record(training, memory, position, labels, batch.index, logits, targets)
        selected = torch.arange(len(batch.index), device=batch.index.device)
        if self.skip_rejected:
            selected = selection.weight.nonzero().squeeze(1)
        strong = training.view(training.augment, batch.pixels.index_select(0, selected), "strong", position.step)
        seed_dropout(training.seed, position.step)  # dropout draws as if there had been no pass for the policy
        labeled, logits = training.student(torch.cat((images, strong))).float().split((len(images), len(strong)))
        weight = selection.weight[selected]
        supervised = labeled_cross_entropy(training, labeled, targets)
        unlabeled = pseudo_label_cross_entropy(
            training, memory, logits, selection.targets[selected], weight, len(batch.index)
        )
        loss = StepLoss(supervised, labeled_sums(supervised, labeled, targets))
        step = UnlabeledLoss(unlabeled, logits, weight, len(batch.index))
        return self.total_loss(training, memory, position, loss, step), memory

    def memory_bytes(self, images: int, values: int) -> int:
        return 4 * images * values

    def _propagate(self, training: TrainingContext) -> Generator[Event, None, Tensor]:
        features = yield from _features((training.unlabeled, training.labeled), training.eval_batch_size)
        unknown = torch.full_like(training.unlabeled.targets, -1)  # even if the data set has the class
        targets = torch.cat((unknown, training.labeled.targets))
        settings = training.num_classes, self.neighbors, self.neighbor_share, self.power, self.prior
        key = (_digest(features, targets), *settings, features.device, torch.get_num_threads())
        if key not in _last:
            _last.clear()
            _last[key] = yield from propagate_labels(features, targets, *settings)
        return _last[key].clone()


_last: dict[tuple[object, ...], Tensor] = {}
"""The last result in this process, for further runs with the same images and the same settings of the propagation."""


def _digest(features: Tensor, targets: Tensor) -> str:
    """Compute the sha256 of features and labels in blocks, to save memory."""
    digest = hashlib.sha256(repr(tuple(features.shape)).encode())
    for block in (*features.split(BLOCK), targets):
        digest.update(block.cpu().contiguous().flatten().numpy().data)
    return digest.hexdigest()


@torch.no_grad()
def _labeled_logits(training: TrainingContext, images: Tensor) -> Tensor:
    with freeze_bn_stats(training.student):
        logits: Tensor = training.student(images).float()
    return logits


def _features(parts: Sequence[Images], batch_size: int) -> Generator[Event, None, Tensor]:
    """Load the features (or the pixels, in [0, 1]) of all images into one matrix, (n, D) float32."""
    features, done, size = torch.empty(0), 0, sum(map(len, parts))
    for images in parts:
        as_input = plain_input(images.pixels)
        for batch in images.pixels.split(batch_size):
            values = as_input(batch).flatten(1)
            if done == 0:
                features = values.new_empty(size, values.shape[1])
            features[done : done + len(values)] = values
            done += len(values)
            yield Progress(0, 0, "reading features", done, size)
    return features
