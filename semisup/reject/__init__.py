"""Rejection of unlabeled images that seem to belong to none of the classes (open-set pseudo-labeling).

An option computes one score for each image; a higher score means that the image is more likely to be of a class of the
data set. Unlabeled images whose score is below a limit get weight 0: they are neither pseudo-labeled nor used for
consistency. The limit is a number (`limit`), or the largest number that accepts a given share of the validation images
(`keep`). Scores are pure functions of the logits or of the features of an image; `semisup/training/rejection.py`
computes them, and `semisup/method/_policy.py` applies them to the weights of the threshold policy.
"""

import math
from typing import Protocol, runtime_checkable

from torch import Tensor

from semisup.errors import DataError

SCORE, LIMIT, ACCEPTED = "reject/score", "reject/limit", "reject/accepted"
"""Names in the state of a method: (N,) float32 scores of the unlabeled images, () float32 limit, and (N + L,) float32,
1 for the accepted images and 0 for the rejected ones. The L labeled images come last and are always accepted."""


@runtime_checkable
class Reject(Protocol):
    """Interface that all options share except `reject=none`.

    limit: lowest score of an accepted image; None = by `keep`
    keep: share of the validation images that the limit accepts, in (0, 1]; None if `limit` is given
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
            logits: (n, K) float32, from the model that is evaluated, in eval mode, without augmentation.
        """
        ...


@runtime_checkable
class FeatureReject(Reject, Protocol):
    """Interface of an option whose score depends on the features of an image.

    The features are those of the frozen encoder or, without one, the input of the classifier layer of the network.
    """

    def score_features(self, features: Tensor, labeled: Tensor) -> Tensor:
        """Compute the scores of n images, (n,) float32.

        Args:
            features: (n, D) float32.
            labeled: (L, D) float32, features of all labeled images.
        """
        ...


def limit_for(scores: Tensor, keep: float) -> Tensor:
    """Return the largest limit that accepts at least a share `keep` of V validation images, as () float32.

    The limit is the score of rank ceil(keep * V), counted from the highest.

    Raises:
        DataError: there is no validation image.
    """
    if len(scores) == 0:
        raise DataError("reject.keep needs validation images, and there are none; give a number, as reject.limit=0")
    rank = max(1, math.ceil(keep * len(scores) - 1e-9))
    return scores.sort(descending=True).values[rank - 1]
