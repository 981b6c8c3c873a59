"""The most confident images of every predicted class, the same number of each.

    k = ceil(q n / K)        accept image i if fewer than k of the images with its pseudo-label are surer than it

n is the number of images seen so far (N after one pass over the pool), so that `q` is the share of them that is
accepted if every class has k; a class predicted for fewer than k images gives all that it has. Of images equally
sure, those with the lower number in the set count as surer: exactly k are taken, even where softmax is 1 for many.

Class-balanced self-training (arXiv 1810.07911) cuts each class at a rank of its own too, but takes the
same share of each, which leaves the pool as unbalanced as the model says it is; here, as CReST (arXiv 2102.09559)
intends, a class that is predicted often does not crowd out the others.

    by rounds (the whole pool at once)    the exact top k of every class; what was remembered is replaced
    at every step (a batch of it)         the rank among the last words on every image seen so far; these are up to
                                          one pass old, so that of a model growing surer a little more than q is taken

An image twice in a batch counts with its surer label; a copy with another label has weight 0.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range


@dataclass(frozen=True)
class ClassBalanced:
    """Accept the share `q` in [0, 1] of the images, in K equal parts."""

    q: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("q", self.q, 0, 1)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """confidence: (N,) float32, the last of each image; targets: (N,) int64, its pseudo-label, -1 = never seen."""
        return {"confidence": torch.zeros(num_unlabeled), "targets": torch.full((num_unlabeled,), -1)}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        num_classes = labels.probabilities.shape[1]
        memory = {name: value.to(index.device) for name, value in memory.items()}
        if len(index) == 0:
            return PolicyOutput(labels.confidence, labels.targets, labels.confidence.new_zeros(num_classes)), memory
        memory = update_memory(memory, index, labels.confidence.float(), labels.targets)
        confidence, targets = memory["confidence"], memory["targets"]

        order = confidence.argsort(dim=0, descending=True, stable=True)
        order = order[targets[order].argsort(dim=0, stable=True)]  # (N,) by class, then the surest first; -1 leads
        counts = targets.new_zeros(num_classes + 1).index_add(0, targets + 1, torch.ones_like(targets))
        start = counts.cumsum(0) - counts  # (K + 1,) where in `order` a class begins; [0] = never seen
        places = torch.arange(len(order), device=order.device) - start[targets[order] + 1]
        rank = torch.zeros_like(order).scatter(0, order, places)  # (N,) 0 = the surest of its class

        share = (len(targets) - counts[0]).double() * self.q / num_classes
        k = (share - 1e-9).ceil().long()  # 1e-9: 0.07 * 100 is a little above 7
        kept = (rank[index] < k) & (labels.targets == targets[index])
        last = confidence[order[(start[1:] + k - 1).clamp(0, len(order) - 1)]]  # (K,) the k-th surest
        threshold = torch.where(k > 0, torch.where(counts[1:] >= k, last, 0.0), 2.0)  # 2: above every confidence
        return PolicyOutput(kept.to(labels.confidence.dtype), labels.targets, threshold), memory


def update_memory(memory: StateDict, index: Tensor, confidence: Tensor, targets: Tensor) -> StateDict:
    """The memory with the surest label of each image in `index`: the same whatever the order of the batch."""
    surest = torch.full_like(memory["confidence"], -1).scatter_reduce(0, index, confidence, "amax")
    winners = torch.where(confidence == surest[index], targets, -1)
    label = torch.full_like(memory["targets"], -1).scatter_reduce(0, index, winners, "amax")
    seen = label >= 0
    return {
        "confidence": torch.where(seen, surest, memory["confidence"]),
        "targets": torch.where(seen, label, memory["targets"]),
    }
