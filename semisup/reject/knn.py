"""Reject images whose features are far from those of the labeled images (arXiv 2204.06507, section 3).

    score_i = -|f_i - g_(k)|        f_i: features of image i; g_(k): features of the k-th nearest labeled image

All features are scaled to unit length. With a frozen encoder, the scores are computed once, because the features do not
change. Without an encoder, the features are the input of the network's last layer, and the scores are computed again at
each evaluation.

For 3,000 random rows of 1,280 features, 330 labeled images and k = 1, 5 and 50, the largest difference from the
authors' code (deeplearning-wisc/knn-ood at 2afb2bb, `run_cifar.py`; the square root of its distances) is 4e-7, and from
pytorch-ood 0.4.0 (`KNN.predict_features`, with the opposite sign) 2.4e-7 (docs/open_set.md).
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import normalize

from semisup.errors import check_range
from semisup.reject._limits import Limits


@dataclass(frozen=True)
class Knn(Limits):
    """Settings of rejection by the distance to the k-th nearest labeled image, explained in `conf/reject/knn.yaml`."""

    k: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("k", self.k, 1)

    @property
    def min_labeled(self) -> int:
        return self.k

    def score_features(self, features: Tensor, labeled: Tensor) -> Tensor:
        features, labeled = normalize(features.float(), dim=1), normalize(labeled.float(), dim=1)
        nearest = (features @ labeled.T).topk(self.k, dim=1).indices[:, -1]
        distance: Tensor = (features - labeled[nearest]).norm(dim=1)  # 2 - 2 * cosine would lose digits of small ones
        return -distance
