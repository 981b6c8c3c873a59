"""SoftMatch (arXiv 2301.10921), section 3: weights that are Gaussian below the mean confidence, and 1 above it.

p_i are the predicted probabilities of unlabeled image i of U, K is the number of classes, m is the setting `momentum`,
n is `n_sigma`, and norm(x) = x / sum x:

    p_bar    = m * p_bar + (1 - m) * mean_i p_i; the first value is mean_i p_i          (K,)
    p'_i     = norm(p_i * (pi + 1e-6) / (p_bar + 1e-6))                                 with uniform_alignment=true
    p'_i     = p_i                                                                      with uniform_alignment=false
    c_i      = max p'_i
    mu       = m * mu  + (1 - m) * mean_i c_i; starts at 1 / K                          ()
    var      = m * var + (1 - m) * (variance of the c_i); starts at 1                   ()
    weight_i = exp(-min(c_i - mu, 0)^2 / (2 * var / n^2))

pi is 1 / K with prior=uniform, as in the paper, or the class frequencies of the labels with prior=labels. p_bar, mu and
var are updated before the weights are computed. Alignment changes only the weights: the pseudo-label is argmax p_i.
`PolicyOutput.threshold` is mu for every class.

Assumption of the alignment: the unlabeled set has the class frequencies pi. If a class is more frequent than that, the
weights of its correct labels are reduced; use uniform_alignment=false.

    online     as in the paper. m = 0.999 has a time constant of 1,000 steps; use 0.99 for short runs
    offline    mean and variance are those of the whole unlabeled set (m = 0). Hardly any weight is exactly 0, so nearly
               the whole set is used
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.added_setting import added
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import SettingError, check_choice, check_range
from semisup.threshold._running import pool_size_memory, update_rate

PRIORS = ("labels", "uniform")


@dataclass(frozen=True)
class SoftMatch:
    """Settings of SoftMatch, explained in `conf/threshold/softmatch.yaml`."""

    n_sigma: float
    momentum: float
    uniform_alignment: bool
    prior: str = field(metadata=added("uniform"))

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("n_sigma", self.n_sigma, 0, above=True)
        check_range("momentum", self.momentum, 0, 1, below=True)
        check_choice("prior", self.prior, PRIORS)
        if self.prior != "uniform" and not self.uniform_alignment:
            raise SettingError(
                "prior", self.prior, "has no effect with threshold.uniform_alignment=false; leave it out"
            )

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory of the SoftMatch policy, which `select` updates.

        Returns:
            mu, var: () float32, running mean and variance of the confidence.
            p_bar: (K,) float32, running mean of the predicted probabilities; all 0 before the first update.
        """
        start = {"mu": torch.tensor(1 / num_classes), "var": torch.tensor(1.0), "p_bar": torch.zeros(num_classes)}
        return start | pool_size_memory(num_unlabeled)

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        mu, var, p_bar = memory["mu"], memory["var"], memory["p_bar"]
        confidence = labels.confidence.float()  # (U,) c
        rate = update_rate(self.momentum, len(confidence), memory)
        if self.uniform_alignment:
            p_bar = running_mean(p_bar, labels.probabilities, rate)
            target = prior_of(self.prior, context, p_bar)
            confidence = align_distribution(labels.probabilities, target, p_bar).amax(dim=1)
        if len(confidence) > 0:
            mu = mu.lerp(confidence.mean(), rate)
        if len(confidence) > 1:
            var = var.lerp(confidence.var(), rate)
        below = (confidence - mu).clamp(max=0)
        weight = (-(below**2) / (2 * var / self.n_sigma**2).clamp(min=1e-12)).exp()
        selection = PolicyOutput(weight.to(labels.confidence.dtype), labels.targets, mu.expand(len(p_bar)))
        return selection, memory | {"mu": mu, "var": var, "p_bar": p_bar}


def prior_of(name: str, context: PolicyContext, like: Tensor) -> Tensor:
    """Return the class distribution to which predictions are aligned, (K,) float.

    Args:
        name: `uniform`, or `labels` for the class frequencies of the labels.
        context: contains the class frequencies of the labels.
        like: any (K,) tensor with the dtype and device that the result shall have.
    """
    if name == "uniform":
        return torch.full_like(like, 1 / len(like))
    assert context.class_shares is not None, "the class frequencies of the labels are unknown"
    return context.class_shares.to(like)


def running_mean(p_bar: Tensor, probabilities: Tensor, rate: Tensor) -> Tensor:
    """Update a running mean of class probabilities.

    Args:
        p_bar: (K,), the running mean; all 0 before the first update.
        probabilities: (U, K), probabilities of the images of this call.
        rate: weight of these images in the new mean, in (0, 1].

    Returns:
        (K,), the new running mean. At the first update it is the mean of `probabilities`. If U = 0, it is `p_bar`.
    """
    if len(probabilities) == 0:
        return p_bar
    mean = probabilities.float().mean(dim=0)
    return torch.where(p_bar.sum() > 0, p_bar.lerp(mean, rate), mean)


def align_distribution(probabilities: Tensor, p_target: Tensor, p_bar: Tensor) -> Tensor:
    """Rescale probabilities by p_target / p_bar, so that their mean comes closer to `p_target`.

    Args:
        probabilities: (U, K).
        p_target: (K,), the desired class distribution.
        p_bar: (K,), the running mean of the probabilities.

    Returns:
        (U, K) float32; each row sums to 1.
    """
    scaled = probabilities.float() * (p_target + 1e-6) / (p_bar + 1e-6)
    return scaled / scaled.sum(dim=1, keepdim=True)
