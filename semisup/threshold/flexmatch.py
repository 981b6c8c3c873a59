"""A lower threshold for classes that are learned less: FlexMatch (arXiv 2110.08263), section 3.

    n_c      = number of the N images whose last confident pseudo-label is c
    b_c      = n_c / max(max_c n_c, number of images without one)        (`warmup`; else n_c / max_c n_c)
    weight_i = 1 if confidence_i >= tau b(y_i) / (2 - b(y_i)) else 0

The weights use b as it stood before this batch; then the images with confidence_i >= tau are remembered with
their pseudo-label y_i. Before any was, b = 0 and everything is accepted: so it is published.

    at every step (a batch of the set)    as in the paper
    by rounds (the whole pool at once)    b is of the round before; the first round accepts the whole pool

An image twice in a batch, confident in two classes, is remembered with the higher class number: the same whatever
the order of the batch. `threshold` is tau b_c / (2 - b_c).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range


@dataclass(frozen=True)
class FlexMatch:
    """`tau` in [0, 1], what the best learned class has to reach; `warmup`: thresholds stay low while most images
    were never confident."""

    tau: float
    warmup: bool

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("tau", self.tau, 0, 1)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """last_label: (N,) int64, the last confident pseudo-label of each image; -1 where there was none."""
        return {"last_label": torch.full((num_unlabeled,), -1)}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        last = memory["last_label"].to(index.device)
        status = learning_status(last, labels.probabilities.shape[1], self.warmup)
        threshold = self.tau * status / (2 - status)  # (K,)
        kept = labels.confidence >= threshold[labels.targets]

        confident = torch.where(labels.confidence >= self.tau, labels.targets, -1)
        new = torch.full_like(last, -1).scatter_reduce(0, index, confident, "amax")
        memory = {"last_label": torch.where(new >= 0, new, last)}
        return PolicyOutput(kept.to(labels.confidence.dtype), labels.targets, threshold), memory


def learning_status(last_label: Tensor, num_classes: int, warmup: bool) -> Tensor:
    """How far each class is learned: b.

    Args:
        last_label: (N,) int64, the last confident pseudo-label; -1 where there was none.
        num_classes: K.
        warmup: also count the never labeled, so that early thresholds stay low.

    Returns:
        (K,) float32 in [0, 1]; 0 where no image has a label.
    """
    counts = last_label.new_zeros(num_classes + 1).index_add(0, last_label + 1, torch.ones_like(last_label))
    leader = counts.max() if warmup else counts[1:].max()  # [0] = never
    return counts[1:] / leader.clamp(min=1)
