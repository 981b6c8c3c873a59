"""CReST+ (arXiv 2102.09559): rarer classes get a larger share of their pseudo-labels, after progressive alignment.

    t        = 1 - (1 - align_end) * progress                                                       ()
    p_target = norm(pi^t), pi_k = share of class k in the labels, norm(x) = x / sum x               (K,)
    p_bar    = m * p_bar + (1 - m) * mean_i p_i; the first value is mean_i p_i                      (K,)
    p~_i     = norm(p_i * (p_target + 1e-6) / (p_bar + 1e-6))                                       (U, K)
    rate_k   = (n_(K+1-r) / n_(1))^alpha, r = rank of class k by its number of labels, 1 = most     (K,)
    select the floor(rate_k * n~_k) most confident images with the pseudo-label k = argmax p~_i, for each class k

n_(1) >= ... >= n_(K) are the sorted numbers of labels, and n~_k is the number of images with the pseudo-label k among
those seen so far. The rarest class has rate 1 and the most frequent one (n_(K) / n_(1))^alpha: pseudo-labels of rare
classes have few errors, but there are too few of them. If all classes have equally many labels, every rate is 1 and
every image is selected. Classes with equally many labels have the mean of the rates of their ranks. A class without
labels counts as the rarest class with labels.

    offline    as in the paper, whose generations are the rounds of `method=noisy_student`
    online     images are ranked among the last pseudo-labels of all images seen so far, as in `class_balanced`

`threshold` is the confidence of the last selected image of each class. The paper aligns the labels inside a
generation, which also have a fixed threshold; here the labels that the rates select are aligned.

Assumption: the unlabeled set has the class frequencies of the labels, at least in their order. With a reversed tail,
the classes that are rare in the labels but frequent in the unlabeled set are selected entirely, errors included.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from semisup.core.device import exact
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import check_range
from semisup.threshold._running import pool_size_memory, update_rate
from semisup.threshold.class_balanced import ranks_in_class, update_memory
from semisup.threshold.softmatch import align_distribution, running_mean


@dataclass(frozen=True)
class CReST:
    """Settings of CReST+; m is `momentum`. Keys: `conf/threshold/crest.yaml`."""

    alpha: float
    align_end: float
    momentum: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("alpha", self.alpha, 0)
        check_range("align_end", self.align_end, 0, 1)
        check_range("momentum", self.momentum, 0, 1, below=True)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory: the last pseudo-label of each unlabeled image, and the distributions.

        Returns:
            confidence: (N,) float32. targets: (N,) int64, -1 = the image was never seen.
            p_target: (K,) float32, the class distribution to which predictions are aligned.
            p_bar: (K,) float32, running mean of the class probabilities; all 0 = no update yet.
        """
        last = {"confidence": torch.zeros(num_unlabeled), "targets": torch.full((num_unlabeled,), -1)}
        means = {"p_target": torch.full((num_classes,), 1 / num_classes), "p_bar": torch.zeros(num_classes)}
        return last | means | pool_size_memory(num_unlabeled)

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        num_classes = labels.probabilities.shape[1]
        if len(index) == 0:
            return PolicyOutput(labels.confidence, labels.targets, labels.confidence.new_zeros(num_classes)), memory
        assert context.class_shares is not None, "crest needs the class frequencies of the labels"
        shares = context.class_shares.float()
        rate = update_rate(self.momentum, len(index), memory)
        power = shares ** (1 - (1 - self.align_end) * context.progress)
        memory = memory | {
            "p_target": power / power.sum(),
            "p_bar": running_mean(memory["p_bar"], labels.probabilities, rate),
        }
        confidence, targets = self.align(labels.probabilities, memory).max(dim=1)
        memory = memory | update_memory(memory, index, confidence, targets)

        counts, rank, last = ranks_in_class(memory["confidence"], memory["targets"], num_classes)
        rates = selection_rates(shares, self.alpha)
        k = (rates * exact(counts) + 1e-6).floor().long().to(counts.device)  # 1e-6: 0.1 ** 1 * 30 < 3
        selected = (rank[index] < k[targets]) & (targets == memory["targets"][index])
        return PolicyOutput(selected.to(labels.confidence.dtype), targets, last(k)), memory

    def align(self, probabilities: Tensor, memory: StateDict) -> Tensor:
        return align_distribution(probabilities, memory["p_target"], memory["p_bar"])


def selection_rates(shares: Tensor, alpha: float) -> Tensor:
    """Compute the share of the pseudo-labels of each class that is selected, (K,) float64 in [0, 1].

    Args:
        shares: (K,) class frequencies of the labels; classes with equal frequency get the same rate.
    """
    positive = exact(torch.where(shares > 0, shares, torch.inf).amin().maximum(shares))
    ordered = positive.sort(descending=True).values
    by_rank = (ordered.flip(0) / ordered[0]) ** alpha
    equal = (positive[:, None] == ordered[None, :]).to(ordered)  # (K, K) ranks that class k shares
    return (equal * by_rank).sum(dim=1) / equal.sum(dim=1)
