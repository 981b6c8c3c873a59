"""Thresholds that follow what the model has learned, in all and per class: FreeMatch (arXiv 2205.07246), section 4.

Each select updates three running means over its U images, all of which start at 1 / K, then weighs with them:

    tau_t    = m tau_(t-1) + (1 - m) mean_i confidence_i              ()
    p~_t     = m p~_(t-1)  + (1 - m) mean_i p_i                       (K,)
    h~_t     = m h~_(t-1)  + (1 - m) histogram(y) / U                 (K,)
    weight_i = 1 if confidence_i >= tau_t p~_t(y_i) / max_c p~_t(c) else 0

Fairness adds a term to the loss. q_i = softmax(strong logits) of the accepted images, norm(x) = x / sum x, 1/0 = 0:

    a = norm(p~_t / h~_t)        b = norm(mean_i q_i / histogram(argmax q))
    penalty = lambda_fairness sum_c a_c log(b_c + 1e-12)

Its sign is the published one: it grows with agreement of a and b. A class that no strong view is put in has b_c = 0,
adds log(1e-12) a_c and has no gradient; none accepted = 0, gradient 0.

    at every step (a batch of the set)    as in the paper; m = .999 has a time constant of 1,000 steps, short runs
                                          want .99
    by rounds (the whole pool at once)    the means are the pool's own (m = 0). There is no penalty
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range
from semisup.threshold._running import pool_size_memory, update_rate


@dataclass(frozen=True)
class FreeMatch:
    """`momentum` m in [0, 1) of the running means, with a time constant of 1 / (1 - m) selects;
    `lambda_fairness` >= 0: weight of the fairness term."""

    momentum: float
    lambda_fairness: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("momentum", self.momentum, 0, 0.9999999)
        check_range("lambda_fairness", self.lambda_fairness, 0)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """tau: () float32; p: (K,) float32, p~; histogram: (K,) float32, h~."""
        share = torch.full((num_classes,), 1 / num_classes)
        return {"tau": share[0].clone(), "p": share, "histogram": share.clone()} | pool_size_memory(num_unlabeled)

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        memory = {name: value.to(labels.confidence.device) for name, value in memory.items()}
        if len(labels.confidence) > 0:
            shares = class_weights(labels.targets, torch.ones_like(labels.confidence), memory["p"]) / len(
                labels.targets
            )
            now = {"tau": labels.confidence.mean(), "p": labels.probabilities.mean(dim=0), "histogram": shares}
            step = update_rate(self.momentum, len(labels.targets), memory)
            memory = memory | {name: memory[name].lerp(value.float(), step) for name, value in now.items()}
        threshold = memory["tau"] * memory["p"] / memory["p"].max()  # (K,)
        kept = labels.confidence >= threshold[labels.targets]
        return PolicyOutput(kept.to(labels.confidence.dtype), labels.targets, threshold), memory

    def penalty(self, strong_logits: Tensor, weight: Tensor, memory: StateDict) -> Tensor:
        """() float: the fairness term; its gradient flows to the strong logits through q alone."""
        q = strong_logits.float().softmax(dim=1)
        accepted = class_weights(q.argmax(dim=1), weight, memory["p"])  # (K,)
        a = normalize(memory["p"] * safe_reciprocal(memory["histogram"]))
        b = normalize((weight[:, None] * q).sum(dim=0) * safe_reciprocal(accepted))
        return self.lambda_fairness * (a * (b + 1e-12).log()).sum() * (accepted.sum() > 0)


def class_weights(targets: Tensor, weight: Tensor, like: Tensor) -> Tensor:
    """(K,) float: the weight of the images of each class."""
    return torch.zeros_like(like).index_add(0, targets, weight.to(like.dtype))


def safe_reciprocal(values: Tensor) -> Tensor:
    """1 / values, and 0 where that is infinite."""
    return values.reciprocal().nan_to_num(posinf=0.0)


def normalize(values: Tensor) -> Tensor:
    """values / their sum; all 0 stay 0."""
    return values / values.sum().clamp(min=1e-12)
