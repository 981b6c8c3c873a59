"""Select pseudo-labels by one fixed threshold on the confidence: FixMatch (arXiv 2001.07685), section 2.

weight_i = 1 if confidence_i >= tau else 0        (with strict=true: > instead of >=)
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range


@dataclass(frozen=True)
class Fixed:
    """Settings of a fixed threshold, explained in `conf/threshold/fixed.yaml`."""

    tau: float
    strict: bool

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("tau", self.tau, 0, 1)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        return {}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        confidence = labels.confidence
        selected = confidence > self.tau if self.strict else confidence >= self.tau
        threshold = confidence.new_full((labels.probabilities.shape[1],), self.tau)
        return PolicyOutput(selected.to(confidence.dtype), labels.targets, threshold), memory
