"""Rejection of unlabeled images that seem to belong to none of the classes (open-set pseudo-labeling).

Each option of this group computes one score for each image. An image with a higher score is more likely to belong to a
class of the data set. Unlabeled images with a score below the rejection limit get weight 0 in the loss. The user sets
the rejection limit (`limit`), or the share of the validation images that it must accept (`keep`).
"""

import math
from typing import Protocol, runtime_checkable

from torch import Tensor

from semisup.errors import DataError

SCORE, LIMIT, ACCEPTED = "reject/score", "reject/limit", "reject/accepted"
"""Names of tensors in a method's memory.

SCORE: (N,) float32, scores of the unlabeled images
LIMIT: () float32, the rejection limit: the lowest score of an accepted image
ACCEPTED: (N + L,) float32, 1 = accepted, 0 = rejected; the last L values are those of the labeled images, always 1
"""


@runtime_checkable
class Reject(Protocol):
    """Interface of every option of this group that rejects images.

    limit: rejection limit, which is the lowest score of an accepted image; None if `keep` is given
    keep: share of the validation images to accept, in (0, 1]; None if `limit` is given
    min_labeled: smallest number of labeled images with which scores can be computed
    """

    @property
    def limit(self) -> float | None: ...

    @property
    def keep(self) -> float | None: ...

    @property
    def min_labeled(self) -> int: ...


@runtime_checkable
class LogitReject(Reject, Protocol):
    """Interface of an option whose score depends on the logits of an image."""

    def score_logits(self, logits: Tensor) -> Tensor:
        """Compute the scores of n images, (n,) float32.

        Args:
            logits: (n, K) float32, of the images without augmentation, computed in eval mode.
        """
        ...


@runtime_checkable
class FeatureReject(Reject, Protocol):
    """Interface of an option whose score depends on the features of an image.

    The features are the output of the frozen encoder or, without an encoder, the input of the network's last layer.
    """

    def score_features(self, features: Tensor, labeled: Tensor) -> Tensor:
        """Compute the scores of n images, (n,) float32; an image with a low score is rejected.

        Args:
            features: (n, D) float32.
            labeled: (L, D) float32, features of all labeled images.
        """
        ...


def limit_for(scores: Tensor, keep: float) -> Tensor:
    """Compute the largest rejection limit that accepts at least the share `keep` of V validation images.

    Args:
        scores: (V,) scores of the validation images.
        keep: share of the images to accept, in (0, 1].

    Returns:
        () float32, the score of rank ceil(keep * V), counted from the highest score.

    Raises:
        DataError: there is no validation image.
    """
    if len(scores) == 0:
        raise DataError(
            "reject.keep needs validation images, and there are none; give a number, such as reject.limit=0"
        )
    rank = max(1, math.ceil(keep * len(scores) - 1e-9))
    return scores.sort(descending=True).values[rank - 1]
