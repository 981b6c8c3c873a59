"""A limit on the loss that shrinks while the model learns: Dash (arXiv 2109.00650).

    rho_k    = max(C gamma^-k rho_0, rho_min)
    weight_i = 1 if -log confidence_i <= rho_k else 0

-log confidence_i is the cross-entropy of an image with its own pseudo-label: a rising threshold on confidence,
exp(-rho_k), which is what `threshold` reports; rho_min = .05 ends at .951. rho_0 is the mean cross-entropy of labeled
images with their true classes when the policy is first asked; never of test images, as in one published code.
k = 0 at first and grows by one every `every` selects.

    at every step (a batch of the set)    rho_0 is of the first labeled batch: ask for the first time after a warm-up on
                                          labels; `every` counts steps (published: as many as 10 epochs have)
    by rounds (the whole pool at once)    rho_0 is of the whole labeled set, after the epochs before the gate; `every`
                                          counts rounds

Labels stay hard throughout; the published code softens them until rho_min is reached.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.types import LabeledPredictions, PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range


@dataclass(frozen=True)
class Dash:
    """`scale` C > 0; `gamma` >= 1, by which rho shrinks `every` >= 1 selects; `rho_min` >= 0, where it stops."""

    scale: float
    gamma: float
    rho_min: float
    every: int

    uses_labeled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("scale", self.scale, 0, above=True)
        check_range("gamma", self.gamma, 1)
        check_range("rho_min", self.rho_min, 0)
        check_range("every", self.every, 1)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """rho_0: () float32, -1 = none yet; selects: () int64, how often the policy was asked."""
        return {"rho_0": torch.tensor(-1.0), "selects": torch.tensor(0)}

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        assert context.labeled is not None, "dash starts from labeled images"
        memory = {name: value.to(labels.confidence.device) for name, value in memory.items()}
        rho_0 = torch.where(memory["rho_0"] < 0, cross_entropy(context.labeled), memory["rho_0"])
        k = memory["selects"] // self.every
        rho = (self.scale * rho_0 * self.gamma**-k).clamp(min=self.rho_min)
        threshold = (-rho).exp()
        kept = (labels.confidence >= threshold).to(labels.confidence.dtype)
        if len(labels.confidence) > 0:
            memory = {"rho_0": rho_0, "selects": memory["selects"] + 1}
        return PolicyOutput(kept, labels.targets, threshold.expand(labels.probabilities.shape[1])), memory


def cross_entropy(labeled: LabeledPredictions) -> Tensor:
    """() float32, the mean of -log of the true classes' probabilities; finite where softmax is 0."""
    of_truth = labeled.probabilities.float().gather(1, labeled.targets[:, None])
    return -of_truth.clamp(min=1e-30).log().mean()
