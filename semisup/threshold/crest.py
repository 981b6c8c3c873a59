"""CReST+ (arXiv 2102.09559): align predictions, and select a larger share of the pseudo-labels of rarer classes.

p_i are the predicted probabilities of unlabeled image i of U, K is the number of classes, `progress` is the completed
share of the training, align_end, alpha and m (`momentum`) are settings, and norm(x) = x / sum x:

    t        = 1 - (1 - align_end) * progress                                                       ()
    p_target = norm(pi^t), pi_k = share of class k in the labels                                    (K,)
    p_bar    = m * p_bar + (1 - m) * mean_i p_i; the first value is mean_i p_i                      (K,)
    p~_i     = norm(p_i * (p_target + 1e-6) / (p_bar + 1e-6))                                       (U, K)
    rate_k   = (n_(K+1-r) / n_(1))^alpha, r = rank of class k by its number of labels, 1 = most     (K,)
    select the floor(rate_k * n~_k) most confident images with the pseudo-label k = argmax p~_i, for each class k

n_(1) >= ... >= n_(K) are the sorted numbers of labels of the classes. n~_k is the number of images with pseudo-label k
among all images labeled so far. The rarest class has rate 1, and the most frequent class has rate
(n_(K) / n_(1))^alpha, because pseudo-labels of rare classes have few errors, but there are too few of them. Classes
with equally many labels have the mean of the rates of their ranks. A class without labels has the rate of the rarest
class with labels.

    offline    as in the paper; a generation in the paper is a round of `method=noisy_student`
    online     each image is ranked among the latest pseudo-labels of all images labeled so far, as in `class_balanced`

`PolicyOutput.threshold` is the lowest selected confidence of each class. Here, each labeling both aligns and selects by
rates. In the paper, alignment (with a fixed threshold) is used during the training of a generation, and the rates are
used to extend the labeled set after it.

On an exponential tail, the selected images equal those of the authors' code (google-research/crest at e270139), and the
aligned predictions differ by at most 3e-7 (docs/long_tail.md).

Assumption: the order of the classes by frequency is the same in the unlabeled set and in the labels. Otherwise, nearly
all pseudo-labels of a class that is rare only among the labels are selected, including the wrong ones.
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
    """Settings of CReST+, explained in `conf/threshold/crest.yaml`."""

    alpha: float
    align_end: float
    momentum: float

    uses_labeled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("alpha", self.alpha, 0)
        check_range("align_end", self.align_end, 0, 1)
        check_range("momentum", self.momentum, 0, 1, below=True)

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory of the CReST+ policy, which `select` updates.

        Returns:
            confidence: (N,) float32, confidence of the latest pseudo-label of each unlabeled image.
            targets: (N,) int64, class of the latest pseudo-label; -1 = the image was not labeled yet.
            p_target: (K,) float32, the class distribution to which predictions are aligned.
            p_bar: (K,) float32, running mean of the predicted probabilities; all 0 before the first update.
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
    """Compute for each class which share of its pseudo-labels is selected, (K,) float64 in [0, 1].

    Args:
        shares: (K,), share of each class in the labels; classes with equal shares get the same rate.
        alpha: exponent of the rates; with 0, every rate is 1.
    """
    positive = exact(torch.where(shares > 0, shares, torch.inf).amin().maximum(shares))
    ordered = positive.sort(descending=True).values
    by_rank = (ordered.flip(0) / ordered[0]) ** alpha
    equal = (positive[:, None] == ordered[None, :]).to(ordered)  # (K, K) ranks that class k shares
    return (equal * by_rank).sum(dim=1) / equal.sum(dim=1)
