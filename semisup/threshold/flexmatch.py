"""FlexMatch (arXiv 2110.08263), section 3: lower thresholds for classes that the model has learned less well.

    n_c      = number of images whose stored pseudo-label is c
    b_c      = n_c / max(max_c n_c, number of images without a stored label)      with warmup=true
    b_c      = n_c / max_c n_c                                                    with warmup=false
    weight_i = 1 if confidence_i >= tau * b_c / (2 - b_c) else 0                  c: pseudo-label of image i

The stored pseudo-label of an image is the latest one with a confidence of at least tau. Labels are stored after the
weights of the batch are computed. While no label is stored, b = 0 and every image is selected, as in the paper.

    online     as in the paper
    offline    b is computed from the previous labeling; the first labeling selects the whole unlabeled set

`PolicyOutput.threshold` is tau * b_c / (2 - b_c) for each class c. If a batch contains an image twice, with two
different labels of confidence tau or more, the label with the higher class number is stored.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range


@dataclass(frozen=True)
class FlexMatch:
    """Settings of FlexMatch, explained in `conf/threshold/flexmatch.yaml`."""

    tau: float
    warmup: bool

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("tau", self.tau, 0, 1)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory of the FlexMatch policy.

        Returns:
            last_label: (N,) int64, the latest pseudo-label of each unlabeled image with a confidence of at least tau;
                -1 if the image has had none.
        """
        return {"last_label": torch.full((num_unlabeled,), -1)}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        last = memory["last_label"]
        status = learning_status(last, labels.probabilities.shape[1], self.warmup)
        threshold = self.tau * status / (2 - status)  # (K,)
        selected = labels.confidence >= threshold[labels.targets]

        confident = torch.where(labels.confidence >= self.tau, labels.targets, -1)
        new = torch.full_like(last, -1).scatter_reduce(0, index, confident, "amax")
        memory = {"last_label": torch.where(new >= 0, new, last)}
        return PolicyOutput(selected.to(labels.confidence.dtype), labels.targets, threshold), memory


def learning_status(last_label: Tensor, num_classes: int, warmup: bool) -> Tensor:
    """Compute the learning status b of each class (see the formula at the top of this module).

    Args:
        last_label: (N,) int64, the stored pseudo-label of each image; -1 = none.
        num_classes: the number K of classes.
        warmup: whether the denominator is at least the number of images without a stored label, which keeps the
            thresholds low in the beginning.

    Returns:
        (K,) float32 in [0, 1]; 0 for a class without images.
    """
    counts = last_label.new_zeros(num_classes + 1).index_add(0, last_label + 1, torch.ones_like(last_label))
    largest = counts.max() if warmup else counts[1:].max()  # [0] = images without a label
    return counts[1:] / largest.clamp(min=1)
