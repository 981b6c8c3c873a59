"""Compute the accuracy from which a classifier is significantly better than guessing."""

import numpy
from scipy import special  # scipy.stats takes four times as long to import
from torch import Tensor

SIGNIFICANCE = 0.01
"""Largest probability with which a classifier that only guesses exceeds the limit."""


def chance_limit(targets: Tensor) -> float:
    """Compute the accuracy that must be exceeded for a classifier to be significantly better than guessing.

    The best guess without looking at an image is always the most frequent class, whose share is p. On n images it is
    correct for B(n, p) of them. By the one-sided binomial test, more than c correct images are significant, where c is
    the smallest number with P(B(n, p) > c) <= 0.01. If all images must be correct for that, or if even this is not
    significant, c = n - 1.

    Args:
        targets: (n,) int64, true classes of the images.

    Returns:
        (c + 1/2) / n, which lies between two possible accuracies, so that rounding has no effect; 0 without images.
    """
    n = len(targets)
    if n == 0:
        return 0.0
    share = int(targets.bincount().max()) / n
    exceeded = special.bdtrc(numpy.arange(n), n, share)  # [c] = P(B(n, share) > c)
    significant = numpy.flatnonzero(exceeded <= SIGNIFICANCE)
    limit = min(int(significant[0]), n - 1) if len(significant) else n - 1
    return (limit + 0.5) / n
