"""Select pseudo-labels by a threshold that changes from `tau_start` to `tau` during the training.

    tau_t = tau_start + (tau - tau_start) * r(t)        r(t) = t, or (1 - cos(pi * t)) / 2 with shape=cosine

t is the completed share of the training, in [0, 1]. A decreasing threshold selects few images while predictions are
poor (curriculum labeling, arXiv 2001.06001). An increasing threshold selects many images early, and fewer but more
reliable ones later.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from semisup.core.ramp import RAMP_SHAPES
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_choice, check_range
from semisup.threshold.fixed import Fixed


@dataclass(frozen=True)
class Ramp:
    """Settings of a threshold that changes during the training, explained in `conf/threshold/ramp.yaml`."""

    tau_start: float
    tau: float
    shape: str

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("tau_start", self.tau_start, 0, 1)
        check_range("tau", self.tau, 0, 1)
        check_choice("shape", self.shape, RAMP_SHAPES)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        return {}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        tau = self.tau_start + (self.tau - self.tau_start) * RAMP_SHAPES[self.shape](context.progress)
        return Fixed(tau=min(max(tau, 0.0), 1.0), strict=False).select(labels, index, context, memory)
