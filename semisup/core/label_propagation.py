"""Propagate labels on a graph of nearest neighbors (Zhou et al., NIPS 2003; for images arXiv 1904.04717).

    z_i   = x_i / |x_i| - mean_j(x_j / |x_j|), scaled to unit length            (n, D), x_i = features of image i
    a_ij  = (z_i . z_j)^power if z_i . z_j > 0 and j is one of the k nearest neighbors of i, else 0
    S     = D^(-1/2) (A + A^T) D^(-1/2), D = diagonal matrix of the row sums of A + A^T
    F     = sum_(t >= 0) (alpha * S)^t Y, Y = one-hot rows of the labeled images, 0 <= alpha < 1       (n, K)
    p_ic  = f_ic / sum_c f_ic, the probability of class c for image i

With a prior pi (assumed shares of the classes), f_ic = pi_c * F_ic / sum_i F_ic; without, f_ic = F_ic. Without a prior,
a class whose labeled images are neighbors of many images would get too many images.
"""

import math
from collections.abc import Generator

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from semisup.core.events import Event, Progress

ELEMENTS = 2**24
"""Number of elements of the similarity matrix that are in memory at once: 64 MB of float32."""

PRIORS = ("uniform", "labels", "none")

PRECISION = 1e-6
"""The sum over t ends when alpha^t is at most this."""


def propagate_labels(
    features: Tensor,
    targets: Tensor,
    num_classes: int,
    neighbors: int,
    alpha: float,
    power: float,
    prior: str,
) -> Generator[Event, None, Tensor]:
    """Compute class probabilities of all images from the labels of some images, by the formulas of this module.

    Args:
        features: (n, D) float32; this function overwrites them.
        targets: (n,) int64 in [0, K); -1 = unlabeled.
        num_classes: K.
        neighbors: k, at least 1.
        alpha: share of an image's label that comes from its neighbors, in [0, 1).
        power: exponent of the similarities, at least 0.
        prior: pi; `uniform` = equal, `labels` = the class frequencies of the labeled images, `none` = no prior.

    Yields:
        Progress events.

    Returns:
        (n, K) float32 on the device of the features. The row of a labeled image is its one-hot label. The row of an
        image that is not connected to a labeled image is 1 / K for each class.
    """
    _center_(features)
    graph = yield from _normalized_graph(features, neighbors, power)
    labeled = (targets >= 0).cpu()
    labels = one_hot(targets.cpu().clamp(min=0), num_classes).double() * labeled[:, None]
    total, term = labels.clone(), labels
    products = math.ceil(math.log(PRECISION) / math.log(alpha)) if alpha > 0 else 0
    for done in range(1, products + 1):
        term = alpha * torch.sparse.mm(graph, term)
        total += term
        yield Progress(0, 0, "propagating labels", done, products)
    scaled = total if prior == "none" else total / total.sum(dim=0).clamp(min=1e-300)
    if prior == "labels":
        scaled = scaled * labels.sum(dim=0)
    mass = scaled.sum(dim=1, keepdim=True)
    probabilities = torch.where(mass > 0, scaled / mass.clamp(min=1e-300), 1 / num_classes)
    return torch.where(labeled[:, None], labels, probabilities).float().to(features.device)


def _center_(features: Tensor) -> None:
    """Scale (n, D) features to unit length, subtract their mean, and scale them again, in place."""
    normalize(features, dim=1, out=features)
    features -= features.mean(dim=0)
    normalize(features, dim=1, out=features)


def _normalized_graph(points: Tensor, neighbors: int, power: float) -> Generator[Event, None, Tensor]:
    """Build the normalized similarity matrix S of this module's formulas, (n, n) sparse float64 on the CPU.

    Args:
        points: (n, D) features of unit length.
        neighbors: number of neighbors of each image.
        power: exponent of the similarities.

    Yields:
        Progress events.
    """
    size = len(points)
    count = min(neighbors, size - 1)
    columns: list[Tensor] = []
    values: list[Tensor] = []
    rows = max(1, ELEMENTS // size)
    for own in torch.arange(size, device=points.device).split(rows):
        begin = len(columns) * rows
        similarity = points[begin : begin + rows] @ points.T
        similarity.scatter_(1, own[:, None], -math.inf)
        nearest = similarity.topk(count, dim=1)
        columns.append(nearest.indices.cpu())
        similar = nearest.values.cpu().double()
        values.append(torch.where(similar > 0, similar.clamp(min=0) ** power, 0.0))  # 0 also with power 0
        yield Progress(0, 0, "finding neighbors", begin + len(own), size)
    edges = torch.stack((torch.arange(size).repeat_interleave(count), torch.cat(columns).flatten()))
    weights = torch.cat(values).flatten()
    both = torch.cat((edges, edges.flip(0)), dim=1)
    adjacency = torch.sparse_coo_tensor(both, weights.repeat(2), (size, size), check_invariants=False).coalesce()
    degree = torch.zeros(size, dtype=torch.float64).index_add_(0, adjacency.indices()[0], adjacency.values())
    scale = torch.where(degree > 0, degree.clamp(min=1e-300).rsqrt(), 0.0)
    row, column = adjacency.indices()
    normalized = adjacency.values() * scale[row] * scale[column]
    return torch.sparse_coo_tensor(
        adjacency.indices(), normalized, (size, size), check_invariants=False, is_coalesced=True
    )
