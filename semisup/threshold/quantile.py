"""The most confident share `q` of the unlabeled images, regardless of the confidence itself.

    offline    tau = the confidence of the ceil(q N)-th most confident image of the unlabeled set
    online     tau_t = m tau_(t-1) + (1 - m) (the same of the batch); the first is that of the batch

If q = 0.2 grew from round to round, this would be the percentile of curriculum labeling (arXiv 2001.06001). All ties at
the threshold are selected.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range


@dataclass(frozen=True)
class Quantile:
    """Settings of the quantile policy; m is `momentum`. Keys: `conf/threshold/quantile.yaml`."""

    q: float
    momentum: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("q", self.q, 0, 1)
        check_range("momentum", self.momentum, 0, 1, below=True)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        return {"tau": torch.tensor(-1.0), "num_unlabeled": torch.tensor(num_unlabeled)}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        confidence = labels.confidence
        count = math.ceil(self.q * len(confidence) - 1e-9)  # 1e-9: in floating point, 0.07 * 100 > 7
        if count == 0:
            tau = confidence.new_tensor(2.0)  # above every confidence
        else:
            tau = confidence.topk(count).values[-1]
            running = (memory["tau"] >= 0) & (memory["num_unlabeled"] > len(confidence))
            tau = torch.where(running, memory["tau"].lerp(tau, 1 - self.momentum), tau)
        selected = (confidence >= tau).to(confidence.dtype)
        threshold = tau.expand(labels.probabilities.shape[1])
        return PolicyOutput(selected, labels.targets, threshold), {**memory, "tau": tau}
