"""Compute the accuracy above which a classifier is significantly better than guessing."""

import numpy
from torch import Tensor

SIGNIFICANCE = 0.01
"""Largest probability with which a classifier that only guesses exceeds the limit."""


def chance_limit(targets: Tensor) -> float:
    """Compute the accuracy above which a classifier is significantly better than guessing (p <= 0.01).

    A classifier that always guesses the most frequent class, whose share is p, is correct for B(n, p) of n images, a
    binomial random number. Let c be the smallest number with P(B(n, p) > c) <= 0.01, but at most n - 1.

    Args:
        targets: (n,) int64, true classes of the images.

    Returns:
        (c + 1/2) / n; 0 without images. An accuracy is a multiple of 1 / n, so it never equals this limit.
    """
    from scipy import special  # only here: most runs do not need it

    n = len(targets)
    if n == 0:
        return 0.0
    share = int(targets.bincount().max()) / n
    exceeded = special.bdtrc(numpy.arange(n), n, share)  # [c] = P(B(n, share) > c)
    significant = numpy.flatnonzero(exceeded <= SIGNIFICANCE)
    limit = min(int(significant[0]), n - 1) if len(significant) else n - 1
    return (limit + 0.5) / n
