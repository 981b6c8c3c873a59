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

from semisup.core.types import Context, Labels, Memory, Selection
from semisup.errors import in_range
from semisup.threshold._running import pace, pool_of


@dataclass(frozen=True)
class FreeMatch:
    """`momentum` m in [0, 1) of the running means, with a time constant of 1 / (1 - m) selects;
    `lambda_fairness` >= 0: weight of the fairness term."""

    momentum: float
    lambda_fairness: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        in_range("momentum", self.momentum, 0, 0.9999999)
        in_range("lambda_fairness", self.lambda_fairness, 0)

    def init(self, num_classes: int, num_unlabeled: int) -> Memory:
        """tau: () float32; p: (K,) float32, p~; histogram: (K,) float32, h~."""
        share = torch.full((num_classes,), 1 / num_classes)
        return {"tau": share[0].clone(), "p": share, "histogram": share.clone()} | pool_of(num_unlabeled)

    def select(self, labels: Labels, index: Tensor, context: Context, memory: Memory) -> tuple[Selection, Memory]:
        memory = {name: value.to(labels.confidence.device) for name, value in memory.items()}
        if len(labels.confidence) > 0:
            shares = counted(labels.targets, torch.ones_like(labels.confidence), memory["p"]) / len(labels.targets)
            now = {"tau": labels.confidence.mean(), "p": labels.probabilities.mean(dim=0), "histogram": shares}
            step = pace(self.momentum, len(labels.targets), memory)
            memory = memory | {name: memory[name].lerp(value.float(), step) for name, value in now.items()}
        threshold = memory["tau"] * memory["p"] / memory["p"].max()  # (K,)
        kept = labels.confidence >= threshold[labels.targets]
        return Selection(kept.to(labels.confidence.dtype), labels.targets, threshold), memory

    def penalty(self, strong_logits: Tensor, weight: Tensor, memory: Memory) -> Tensor:
        """() float: the fairness term; its gradient flows to the strong logits through q alone."""
        q = strong_logits.float().softmax(dim=1)
        accepted = counted(q.argmax(dim=1), weight, memory["p"])  # (K,)
        a = normed(memory["p"] * inverse(memory["histogram"]))
        b = normed((weight[:, None] * q).sum(dim=0) * inverse(accepted))
        return self.lambda_fairness * (a * (b + 1e-12).log()).sum() * (accepted.sum() > 0)


def counted(targets: Tensor, weight: Tensor, like: Tensor) -> Tensor:
    """(K,) float: the weight of the images of each class."""
    return torch.zeros_like(like).index_add(0, targets, weight.to(like.dtype))


def inverse(values: Tensor) -> Tensor:
    """1 / values, and 0 where that is infinite."""
    return values.reciprocal().nan_to_num(posinf=0.0)


def normed(values: Tensor) -> Tensor:
    """values / their sum; all 0 stay 0."""
    return values / values.sum().clamp(min=1e-12)
