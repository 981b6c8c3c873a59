"""Select the k most confident images of every predicted class.

    k = ceil(q * n / K)        n: number of images pseudo-labeled so far; K: number of classes

If a class is predicted for fewer than k images, all of them are selected. Of images with equal confidence, the one with
the lower index is selected first. The setting `q` is the selected share of the images if each class has at least k.
Class-balanced self-training (arXiv 1810.07911) selects the same share of each class instead of the same number.

    offline    all images are ranked by their confidence
    online     each image is ranked among the latest pseudo-labels of all images that have one. Pseudo-labels of other
               batches are older and, while the model's confidence grows, less confident; so the selected share is
               slightly larger than q

If a batch contains an image twice, its more confident pseudo-label is stored; a copy with another label has weight 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.device import exact
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range


@dataclass(frozen=True)
class ClassBalanced:
    """Settings of the class-balanced policy, explained in `conf/threshold/class_balanced.yaml`."""

    q: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("q", self.q, 0, 1)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory, for the latest pseudo-label of each of the N unlabeled images.

        Returns:
            confidence: (N,) float32, confidence of the pseudo-label.
            targets: (N,) int64, class of the pseudo-label; -1 = the image has none yet.
        """
        return {"confidence": torch.zeros(num_unlabeled), "targets": torch.full((num_unlabeled,), -1)}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        num_classes = labels.probabilities.shape[1]
        if len(index) == 0:
            return PolicyOutput(labels.confidence, labels.targets, labels.confidence.new_zeros(num_classes)), memory
        memory = update_memory(memory, index, labels.confidence.float(), labels.targets)
        counts, rank, last = ranks_in_class(memory["confidence"], memory["targets"], num_classes)
        share = exact(counts.sum()) * self.q / num_classes
        k = (share - 1e-9).ceil().long().to(rank.device)  # 1e-9: in floating point, 0.07 * 100 > 7
        selected = (rank[index] < k) & (labels.targets == memory["targets"][index])
        return PolicyOutput(selected.to(labels.confidence.dtype), labels.targets, last(k.expand(num_classes))), memory


def ranks_in_class(
    confidence: Tensor, targets: Tensor, num_classes: int
) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Rank images by confidence among the images with the same pseudo-label.

    Of images with equal confidence, the one with the lower index has the better rank.

    Args:
        confidence, targets: (N,), the latest pseudo-label of each image; target -1 = it has none yet.

    Returns:
        counts: (K,) int64, number of images with each pseudo-label.
        rank: (N,) int64, rank of each image in its class; 0 = most confident.
        smallest_selected: function that maps the number k of images to select from each class, (K,), to the confidence
            of the k-th most confident image of each class, (K,). The result is 0 if the class has fewer than k images,
            and 2 (above every confidence) if k is 0.
    """
    order = confidence.argsort(dim=0, descending=True, stable=True)
    order = order[targets[order].argsort(dim=0, stable=True)]  # (N,) by class, -1 first; then by confidence
    counts = targets.new_zeros(num_classes + 1).index_add(0, targets + 1, torch.ones_like(targets))
    start = counts.cumsum(0) - counts  # (K + 1,) start of each class in `order`; [0] = never seen
    positions = torch.arange(len(order), device=order.device) - start[targets[order] + 1]
    rank = torch.zeros_like(order).scatter(0, order, positions)

    def smallest_selected(k: Tensor) -> Tensor:
        last = confidence[order[(start[1:] + k - 1).clamp(0, len(order) - 1)]]
        return torch.where(k > 0, torch.where(counts[1:] >= k, last, 0.0), 2.0)

    return counts[1:], rank, smallest_selected


def update_memory(memory: StateDict, index: Tensor, confidence: Tensor, targets: Tensor) -> StateDict:
    """Store the pseudo-labels of a batch in the memory.

    If the batch contains an image twice, its more confident pseudo-label is stored.

    Args:
        memory: memory with `confidence` and `targets`, as built by `ClassBalanced.init`.
        index, confidence, targets: (U,), indices and pseudo-labels of the images in the batch.
    """
    highest = torch.full_like(memory["confidence"], -1).scatter_reduce(0, index, confidence, "amax")
    winners = torch.where(confidence == highest[index], targets, -1)
    label = torch.full_like(memory["targets"], -1).scatter_reduce(0, index, winners, "amax")
    seen = label >= 0
    return {
        "confidence": torch.where(seen, highest, memory["confidence"]),
        "targets": torch.where(seen, label, memory["targets"]),
    }
