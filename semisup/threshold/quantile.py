"""The most confident share `q` of the unlabeled images, whatever their confidence is.

    by rounds (the whole pool at once)    tau = the confidence of the ceil(q N)-th most confident image
    at every step (a batch of it)         tau_t = m tau_(t-1) + (1 - m) (the same of the batch); the first as it is

With q = 0.2 growing by rounds this is curriculum labeling's percentile (arXiv 2001.06001). Ties at the
threshold are all accepted.
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
    """Accept the share `q` in [0, 1]; `momentum` in [0, 1) of the running quantile, with a time constant of
    1 / (1 - momentum) batches."""

    q: float
    momentum: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("q", self.q, 0, 1)
        check_range("momentum", self.momentum, 0, 0.9999999)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        return {"tau": torch.tensor(-1.0), "num_unlabeled": torch.tensor(num_unlabeled)}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        confidence = labels.confidence
        count = math.ceil(self.q * len(confidence))
        if count == 0:
            tau = confidence.new_tensor(2.0)  # above every confidence
        else:
            tau = confidence.topk(count).values[-1]
            running = (memory["tau"] >= 0) & (memory["num_unlabeled"] > len(confidence))
            tau = torch.where(running, memory["tau"].lerp(tau, 1 - self.momentum), tau)
        kept = (confidence >= tau).to(confidence.dtype)
        threshold = tau.expand(labels.probabilities.shape[1])
        return PolicyOutput(kept, labels.targets, threshold), {**memory, "tau": tau}
