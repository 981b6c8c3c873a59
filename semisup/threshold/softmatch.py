"""Weights instead of a threshold: a Gaussian below the mean confidence: SoftMatch (arXiv 2301.10921), section 3.

    p_bar    = m p_bar + (1 - m) mean_i p_i, the first time mean_i p_i                  (K,)
    p'_i     = norm(p_i (1/K + 1e-6) / (p_bar + 1e-6)), norm(x) = x / sum x             (`uniform_alignment`; else p_i)
    c_i      = max p'_i
    mu       = m mu  + (1 - m) mean_i c_i, starts at 1 / K                              ()
    var      = m var + (1 - m) variance_i c_i (of a sample: / (U - 1)), starts at 1     ()
    weight_i = exp(-min(c_i - mu, 0)^2 / (2 var / n^2))

All are updated before the weights are made. Alignment changes the weights alone: the pseudo-label is that of p_i.
A single image has no variance and leaves var as it is. `threshold` is mu for every class: from there the weight is 1.

    at every step (a batch of the set)    as in the paper; m = .999 has a time constant of 1,000 steps, short runs
                                          want .99
    by rounds (the whole pool at once)    mean and variance are the pool's own (m = 0). Hardly any weight is exactly 0:
                                          (nearly) the whole pool is used, weighed
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range
from semisup.threshold._running import pool_size_memory, update_rate


@dataclass(frozen=True)
class SoftMatch:
    """`n_sigma` n > 0: the larger, the faster weights fall below the mean; `momentum` m in [0, 1), with a time
    constant of 1 / (1 - m) selects; `uniform_alignment`: judge confidence as if all classes were named as often."""

    n_sigma: float
    momentum: float
    uniform_alignment: bool

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("n_sigma", self.n_sigma, 0, above=True)
        check_range("momentum", self.momentum, 0, 0.9999999)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """mu: () float32; var: () float32; p_bar: (K,) float32, all 0 = none yet."""
        start = {"mu": torch.tensor(1 / num_classes), "var": torch.tensor(1.0), "p_bar": torch.zeros(num_classes)}
        return start | pool_size_memory(num_unlabeled)

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        memory = {name: value.to(labels.confidence.device) for name, value in memory.items()}
        mu, var, p_bar = memory["mu"], memory["var"], memory["p_bar"]
        confidence = labels.confidence.float()  # (U,) c
        step = update_rate(self.momentum, len(confidence), memory)
        if self.uniform_alignment:
            p_bar = running_mean(p_bar, labels.probabilities, step)
            uniform = torch.full_like(p_bar, 1 / len(p_bar))
            confidence = align_distribution(labels.probabilities, uniform, p_bar).amax(dim=1)
        if len(confidence) > 0:
            mu = mu.lerp(confidence.mean(), step)
        if len(confidence) > 1:
            var = var.lerp(confidence.var(), step)
        below = (confidence - mu).clamp(max=0)
        weight = (-(below**2) / (2 * var / self.n_sigma**2).clamp(min=1e-12)).exp()
        selection = PolicyOutput(weight.to(labels.confidence.dtype), labels.targets, mu.expand(len(p_bar)))
        return selection, memory | {"mu": mu, "var": var, "p_bar": p_bar}


def running_mean(p_bar: Tensor, probabilities: Tensor, step: Tensor) -> Tensor:
    """(K,) p_bar moved by `step` towards the mean of (U, K) probabilities; at first that mean; as it is if U = 0."""
    if len(probabilities) == 0:
        return p_bar
    mean = probabilities.float().mean(dim=0)
    return torch.where(p_bar.sum() > 0, p_bar.lerp(mean, step), mean)


def align_distribution(probabilities: Tensor, wanted: Tensor, p_bar: Tensor) -> Tensor:
    """(U, K) probabilities as they would be if their mean were `wanted` (K,) instead of `p_bar` (K,)."""
    moved = probabilities.float() * (wanted + 1e-6) / (p_bar + 1e-6)
    return moved / moved.sum(dim=1, keepdim=True)
