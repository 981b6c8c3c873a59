"""FreeMatch (arXiv 2205.07246), section 4: global and class thresholds that follow the model's confidence.

p_i are the predicted probabilities of unlabeled image i of U, y_i is its pseudo-label, K is the number of classes, and
m is the setting `momentum`. histogram(y) is the number of images with each pseudo-label. Each step updates three
running means, which start at 1 / K, and then computes the weights from them:

    tau_t    = m * tau_(t-1) + (1 - m) * mean_i confidence_i            ()
    p~_t     = m * p~_(t-1)  + (1 - m) * mean_i p_i                     (K,)
    h~_t     = m * h~_(t-1)  + (1 - m) * histogram(y) / U               (K,)
    weight_i = 1 if confidence_i >= tau_t * p~_t(y_i) / max_c p~_t(c) else 0

The fairness term of the paper is added to the unlabeled loss (and multiplied by `method.lambda_unlabeled`). q_i is the
softmax of the logits of a selected image in the unlabeled loss; norm(x) = x / sum x; 1/0 = 0:

    a = norm(p~_t / h~_t)        b = norm(mean_i q_i / histogram(argmax q))
    penalty = lambda_fairness * sum_c a_c * log(b_c + 1e-12)

The sign is that of the paper: the term is larger if a and b agree. A class that is predicted for no image has b_c = 0;
it adds the constant a_c * log(1e-12). If no image is selected, the term and its gradient are 0.

    online     as in the paper, with the logits of the strong views. In mean_teacher, the logits are those of the
               student's weak views; in mixmatch, those of the mixed images. m = 0.999 has a time constant of 1,000
               steps; use 0.99 for short runs
    offline    the means are those of the whole unlabeled set (m = 0), and there is no fairness term
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
    """Settings of FreeMatch, explained in `conf/threshold/freematch.yaml`."""

    momentum: float
    lambda_fairness: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("momentum", self.momentum, 0, 1, below=True)
        check_range("lambda_fairness", self.lambda_fairness, 0)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory of the FreeMatch policy: three running means, which `select` updates.

        Returns:
            tau: () float32, the global threshold tau_t: running mean of the confidence.
            p: (K,) float32, p~_t: running mean of the predicted probabilities.
            histogram: (K,) float32, h~_t: running mean of the share of each class in the pseudo-labels.
        """
        share = torch.full((num_classes,), 1 / num_classes)
        return {"tau": share[0].clone(), "p": share, "histogram": share.clone()} | pool_size_memory(num_unlabeled)

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        if len(labels.confidence) > 0:
            shares = class_weights(labels.targets, torch.ones_like(labels.confidence), memory["p"]) / len(
                labels.targets
            )
            current = {"tau": labels.confidence.mean(), "p": labels.probabilities.mean(dim=0), "histogram": shares}
            rate = update_rate(self.momentum, len(labels.targets), memory)
            memory = memory | {name: memory[name].lerp(value.float(), rate) for name, value in current.items()}
        threshold = memory["tau"] * memory["p"] / memory["p"].max()  # (K,)
        selected = labels.confidence >= threshold[labels.targets]
        return PolicyOutput(selected.to(labels.confidence.dtype), labels.targets, threshold), memory

    def penalty(self, strong_logits: Tensor, weight: Tensor, memory: StateDict) -> Tensor:
        """Compute FreeMatch's fairness term, `penalty` in the formula at the top of this module, () float.

        The gradient flows through the probabilities softmax(strong_logits), but not through their argmax.

        Args:
            strong_logits: (U, K), the logits in the unlabeled loss.
            weight: (U,), 1 for a selected image, otherwise 0.
            memory: the policy's memory, with the running means.
        """
        q = strong_logits.float().softmax(dim=1)
        selected = class_weights(q.argmax(dim=1), weight, memory["p"])  # (K,)
        a = normalize(memory["p"] * safe_reciprocal(memory["histogram"]))
        b = normalize((weight[:, None] * q).sum(dim=0) * safe_reciprocal(selected))
        return self.lambda_fairness * (a * (b + 1e-12).log()).sum() * (selected.sum() > 0)


def class_weights(targets: Tensor, weight: Tensor, like: Tensor) -> Tensor:
    """Sum the weights of the images of each class.

    Args:
        targets: (U,) int64, class of each image.
        weight: (U,), weight of each image.
        like: any (K,) tensor with the dtype and device that the result shall have.

    Returns:
        (K,) float.
    """
    return torch.zeros_like(like).index_add(0, targets, weight.to(like.dtype))


def safe_reciprocal(values: Tensor) -> Tensor:
    """Compute 1 / values, or 0 if that is infinite."""
    return values.reciprocal().nan_to_num(posinf=0.0)


def normalize(values: Tensor) -> Tensor:
    """Divide non-negative values by their sum; if all values are 0, they remain 0."""
    return values / values.sum().clamp(min=1e-12)
