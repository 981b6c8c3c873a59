"""Select the most confident images of every predicted class, the same number of each.

    k = ceil(q * n / K)        select image i if fewer than k images with the same pseudo-label are more confident

n is the number of images seen so far (N after one pass over the unlabeled set). So `q` is the selected share if every
class has at least k images; if a class is predicted for fewer images, all of them are selected. Ties are broken by the
lower index, so exactly k images are selected even if many have a softmax of 1.

Class-balanced self-training (arXiv 1810.07911) selects the same share of each class instead, so that the pseudo-labels
are as unbalanced as the predictions. Here, as CReST (arXiv 2102.09559) intends, a class that is predicted often does
not displace the other classes.

    offline    exactly the k most confident images of every class; the memory is replaced
    online     images are ranked among the last pseudo-labels of all images seen so far. These are up to one pass old,
               so slightly more than q is selected while the model's confidence grows

An image that is twice in a batch counts with its more confident label; a copy with another label has weight 0.
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
    """Settings of the class-balanced policy. Keys: `conf/threshold/class_balanced.yaml`."""

    q: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("q", self.q, 0, 1)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the memory: the last pseudo-label of each unlabeled image.

        Returns:
            confidence: (N,) float32. targets: (N,) int64, -1 = the image was never seen.
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
    """Rank images by confidence among those with the same pseudo-label; ties are broken by the lower index.

    Args:
        confidence, targets: (N,) the last pseudo-label of each image; a target of -1 = never seen.

    Returns:
        (K,) int64, number of images of each class; (N,) int64, rank of each image in its class, 0 = most confident;
        and a function from the numbers (K,) of selected images to the smallest selected confidences (K,): 0 if a class
        has fewer images, and 2, above every confidence, if the number is 0.
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
    """Store the most confident pseudo-label of each image in a batch.

    The result does not depend on the order of the batch.

    Args:
        memory: memory with `confidence` and `targets`, as that of `ClassBalanced`.
        index, confidence, targets: (U,), for the images of the batch; an image may be in it twice.
    """
    highest = torch.full_like(memory["confidence"], -1).scatter_reduce(0, index, confidence, "amax")
    winners = torch.where(confidence == highest[index], targets, -1)
    label = torch.full_like(memory["targets"], -1).scatter_reduce(0, index, winners, "amax")
    seen = label >= 0
    return {
        "confidence": torch.where(seen, highest, memory["confidence"]),
        "targets": torch.where(seen, label, memory["targets"]),
    }
