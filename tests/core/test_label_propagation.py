"""Label propagation against a dense solution, and its limits."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from semisup.core import label_propagation
from semisup.core.events import Progress
from semisup.core.label_propagation import propagate_labels
from tests.conftest import value_of


def propagated(*arguments: Any, prior: str = "uniform", **settings: Any) -> Tensor:
    result: Tensor = value_of(propagate_labels(*arguments, prior=prior, **settings))
    return result


def two_moons(size: int) -> tuple[Tensor, Tensor]:
    """Build (2 size, 3) points of two interleaved half circles, and their classes; a line does not separate them."""
    angle = torch.linspace(0, torch.pi, size)
    upper = torch.stack((angle.cos(), angle.sin()), dim=1)
    lower = torch.stack((1 - angle.cos(), 0.5 - angle.sin()), dim=1)
    plane = torch.cat((upper, lower))
    sphere = torch.cat((plane, torch.full((2 * size, 1), 1.0)), dim=1)
    return sphere, torch.arange(2).repeat_interleave(size)


def dense_solution(
    features: Tensor, targets: Tensor, classes: int, k: int, alpha: float, power: float, scales: Tensor | None = None
) -> Tensor:
    """Solve the linear system; `scales` (K,) are the totals of the classes, None = as the system gives them."""
    unit = normalize(features.double(), dim=1)
    points = normalize(unit - unit.mean(dim=0), dim=1)
    similarity = (points @ points.T).fill_diagonal_(-torch.inf)
    nearest = similarity.topk(k, dim=1)
    graph = torch.zeros_like(similarity).scatter_(1, nearest.indices, nearest.values.clamp(min=0) ** power)
    graph = graph + graph.T
    scale = graph.sum(dim=1).rsqrt()
    normalized = scale[:, None] * graph * scale
    labels = one_hot(targets.clamp(min=0), classes).double() * (targets >= 0)[:, None]
    total = torch.linalg.solve(torch.eye(len(features)) - alpha * normalized, labels)
    shares = total if scales is None else total / total.sum(dim=0) * scales
    return torch.where((targets >= 0)[:, None], labels, shares / shares.sum(dim=1, keepdim=True))


@pytest.mark.parametrize("prior", label_propagation.PRIORS)
def test_probabilities_equal_the_dense_solution(prior: str) -> None:
    features = torch.randn(1500, 8, generator=torch.Generator().manual_seed(0))
    targets = torch.full((1500,), -1)
    targets[:60] = torch.tensor([0, 0, 0, 1, 1, 2]).repeat(10)
    probabilities = propagated(features.clone(), targets, 3, neighbors=7, alpha=0.8, power=3, prior=prior)
    scales = {"uniform": torch.ones(3), "labels": torch.tensor([30.0, 20, 10]), "none": None}[prior]
    expected = dense_solution(features, targets, 3, k=7, alpha=0.8, power=3, scales=scales)
    torch.testing.assert_close(probabilities.double(), expected, atol=1e-5, rtol=1e-4)


def test_one_label_for_each_of_two_moons_reaches_all_of_its_points() -> None:
    features, classes = two_moons(100)
    targets = torch.full((200,), -1)
    targets[10], targets[110] = 0, 1
    probabilities = propagated(features, targets, 2, neighbors=4, alpha=0.99, power=1)
    assert torch.equal(probabilities.argmax(dim=1), classes)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(200))


def test_labeled_images_have_their_label_and_unreached_images_no_class() -> None:
    features = torch.tensor([[1.0, 0.1], [1.0, 0.0], [-1.0, 0.1], [-1.0, 0.0]])
    probabilities = propagated(features, torch.tensor([1, -1, -1, -1]), 2, neighbors=1, alpha=0.5, power=1)
    assert probabilities.tolist() == [[0.0, 1.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]]


def test_opposite_images_are_not_connected_with_power_0() -> None:
    features = torch.tensor([[1.0, 0.1], [1.0, 0.0], [-1.0, 0.1], [-1.0, 0.0]])
    probabilities = propagated(features, torch.tensor([1, -1, -1, -1]), 2, neighbors=3, alpha=0.5, power=0)
    assert probabilities.tolist() == [[0.0, 1.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_more_neighbors_than_images_and_no_neighbors_share_are_accepted(alpha: float) -> None:
    features = torch.eye(3)
    probabilities = propagated(features, torch.tensor([0, 1, -1]), 2, neighbors=50, alpha=alpha, power=0)
    assert probabilities[2].tolist() == [0.5, 0.5]


def test_result_is_bit_identical_when_repeated() -> None:
    features = torch.randn(300, 16, generator=torch.Generator().manual_seed(1))
    targets = torch.full((300,), -1)
    targets[:4] = torch.tensor([0, 1, 2, 3])
    first, second = (propagated(features.clone(), targets, 4, neighbors=5, alpha=0.9, power=2) for _ in range(2))
    assert torch.equal(first, second)


def test_every_block_and_every_product_can_be_stopped_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_propagation, "ELEMENTS", 3 * 10)
    targets = torch.tensor([0, 1, *[-1] * 8])
    events = list(propagate_labels(torch.rand(10, 4), targets, 2, 3, alpha=0.1, power=1, prior="uniform"))
    assert events[:4] == [Progress(0, 0, "finding neighbors", done, 10) for done in (3, 6, 9, 10)]
    assert events[4:] == [Progress(0, 0, "propagating labels", done, 6) for done in range(1, 7)]


def test_one_copy_of_the_features_is_in_memory() -> None:
    """2,000 images of 20,000 features take 160 MB, and their similarities 16 MB."""
    program = (
        "import resource, torch; from semisup.core.label_propagation import propagate_labels;"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "targets = torch.full((2000,), -1); targets[:2] = torch.arange(2);"
        "propagate = lambda x: list(propagate_labels(x, targets, 2, 5, alpha=0.5, power=1, prior='uniform'));"
        "propagate(torch.rand(2000, 8)); features = torch.rand(2000, 20000); before = peak();"
        "propagate(features); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 80_000  # kB: half a copy
