"""Rules that choose the unlabeled images that a person should label next (active learning).

margin     largest uncertainty 1 - (p_1 - p_2), p_1 and p_2 = the two largest class probabilities
entropy    largest uncertainty -sum_k p_k ln p_k
spread     images that are similar to many uncertain images, to which no labeled image is similar: the set S that
           maximizes

               sum_i u_i max_{j in L or S} s_ij       s_ij = max(0, z_i . z_j)^POWER

           over the unlabeled images i, with L = the labeled images, u = the uncertainty of `margin`, and z =
           centered embeddings of unit length. S is found greedily, which gives at least 63 % of the largest
           possible gain (facility location, Nemhauser et al. 1978, doi 10.1007/BF01588971).
"""

from typing import Any

import numpy
from numpy.typing import NDArray

from semisup.labeling.unit_rows import unit_rows

Floats = NDArray[Any]
Integers = NDArray[numpy.int64]

RULES = ("spread", "margin", "entropy")

POWER = 2
"""Exponent of the similarities. With a larger exponent, an image represents only images that are more similar to it.

On grocery11, powers 1 to 4 differ by less than their intervals (docs/labeling.md).
"""

MAX_IMAGES = 8000
"""Number of unlabeled images, drawn at random, from which `spread` chooses. Their similarities take 256 MB."""


def select_images(
    rule: str, probabilities: Floats, embeddings: Floats, labeled_embeddings: Floats, count: int
) -> tuple[Integers, Floats]:
    """Choose the unlabeled images to label next by a rule; equal input gives equal output.

    Args:
        rule: one of RULES.
        probabilities: (N, K), of the unlabeled images.
        embeddings: (N, D), of the unlabeled images.
        labeled_embeddings: (n, D), of the labeled images.
        count: number of images, at most N.

    Returns:
        (rows, uncertainty). rows: (count,) indices of the chosen images, most useful first. uncertainty: (count,) the
        entropy with the rule `entropy`, otherwise the uncertainty of `margin`.
    """
    uncertainty = entropy_uncertainty(probabilities) if rule == "entropy" else margin_uncertainty(probabilities)
    if rule == "spread":
        rows = _spread(uncertainty, embeddings, labeled_embeddings, count)
    else:
        rows = numpy.argsort(-uncertainty, kind="stable")[:count]  # of equal values, the first row comes first
    return rows, uncertainty[rows]


def margin_uncertainty(probabilities: Floats) -> Floats:
    """Compute 1 minus the difference of the two largest class probabilities of each image: (N,) in [0, 1]."""
    two = numpy.sort(probabilities.astype(numpy.float64), axis=1)[:, -2:]
    margin: Floats = 1 - (two[:, 1] - two[:, 0])
    return margin


def entropy_uncertainty(probabilities: Floats) -> Floats:
    """Compute the entropy of the class probabilities of each image, in nats: (N,) in [0, ln K]."""
    p = probabilities.astype(numpy.float64)
    entropy: Floats = -(p * numpy.log(numpy.where(p > 0, p, 1))).sum(axis=1)
    return entropy


def _spread(uncertainty: Floats, embeddings: Floats, labeled_embeddings: Floats, count: int) -> Integers:
    """Choose images by the rule `spread`.

    If there are more than MAX_IMAGES, the images are chosen from a random sample.
    """
    sample = numpy.arange(len(embeddings))
    size = max(MAX_IMAGES, count)
    if len(sample) > size:
        sample = numpy.sort(numpy.random.default_rng(0).choice(len(sample), size, replace=False))
    points = _centered(numpy.concatenate([embeddings[sample], labeled_embeddings]))
    own, labeled = points[: len(sample)], points[len(sample) :]
    represented = _similarity(own, labeled).max(axis=1, initial=0)
    return sample[maximize_coverage(_similarity(own, own), uncertainty[sample], represented, count)]


def _centered(embeddings: Floats) -> Floats:
    """Scale rows to unit length, subtract their mean, and scale them again, in float32."""
    points = unit_rows(embeddings, numpy.float32)
    return unit_rows(points - points.mean(axis=0), numpy.float32)


def _similarity(points: Floats, others: Floats) -> Floats:
    similarity: Floats = numpy.clip(points @ others.T, 0, None) ** POWER
    return similarity


def maximize_coverage(similarity: Floats, weights: Floats, covered: Floats, count: int) -> Integers:
    """Choose columns S greedily to maximize sum_i weights_i max(covered_i, max_{j in S} s_ij).

    The gain of a column cannot grow when other columns are chosen. Therefore a gain is computed again only if its last
    value is the largest of all (lazy greedy algorithm).

    Args:
        similarity: (N, N) symmetric, s_ij, at least 0.
        weights: (N,) the weight of each row, at least 0.
        covered: (N,) the largest similarity of each row to a labeled image.
        count: number of columns, at most N.

    Returns:
        (count,) indices of the columns, in the order in which they were chosen.
    """
    covered = covered.astype(similarity.dtype)
    weights = weights.astype(similarity.dtype)
    gains = numpy.array([_gain(row, covered, weights) for row in similarity])
    chosen: list[int] = []
    computed_at = numpy.zeros(len(gains), numpy.int64)
    while len(chosen) < count:
        best = int(gains.argmax())
        if computed_at[best] < len(chosen):
            gains[best], computed_at[best] = _gain(similarity[best], covered, weights), len(chosen)
            continue
        chosen.append(best)
        gains[best] = -1
        covered = numpy.maximum(covered, similarity[best])
    return numpy.array(chosen, numpy.int64)


def _gain(column: Floats, covered: Floats, weights: Floats) -> float:
    return float(numpy.maximum(column - covered, 0) @ weights)
