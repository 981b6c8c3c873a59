"""Select the share `q` of the unlabeled images with the highest confidence.

An image is selected if its confidence is at least tau:

    offline    tau = the confidence of the ceil(q * N)-th most confident of all N unlabeled images
    online     tau_t = m * tau_(t-1) + (1 - m) * tau_batch; at the first batch, tau = tau_batch

tau_batch is the confidence of the ceil(q * U)-th most confident of the U images of batch t. m is the setting
`momentum`. Curriculum labeling (arXiv 2001.06001) increases q from round to round, for example by 0.2; here q is
constant.
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
    """Settings of the quantile policy, explained in `conf/threshold/quantile.yaml`."""

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
        return PolicyOutput(selected, labels.targets, threshold), memory | ({"tau": tau} if len(confidence) else {})
