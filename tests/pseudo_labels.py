"""Pseudo-labels for the tests of policies and methods: the published cases, and random ones."""

import torch
from torch import Tensor

from semisup.core.rng import torch_generator
from semisup.core.types import LabeledPredictions, PolicyContext, PseudoLabels

P1 = torch.tensor([[0.97, 0.02, 0.01], [0.1, 0.85, 0.05], [0.34, 0.33, 0.33], [0.96, 0.03, 0.01], [0.05, 0.05, 0.9]])
P2 = torch.tensor([[0.99, 0.005, 0.005], [0.02, 0.96, 0.02], [0.2, 0.45, 0.35], [0.55, 0.25, 0.2], [0.36, 0.3, 0.34]])


def labels_of(probabilities: Tensor) -> PseudoLabels:
    """Pseudo-labels of (U, K) probabilities: confidence and class of the largest."""
    return PseudoLabels(probabilities, *probabilities.max(dim=1))


def random_labels(count: int, classes: int, seed: int, sharpness: float = 6.0) -> PseudoLabels:
    """Pseudo-labels of random probabilities; the larger `sharpness`, the more confident."""
    return labels_of(torch.rand(count, classes, generator=torch_generator(seed, "p")).mul(sharpness).softmax(dim=1))


def policy_context(classes: int = 3, progress: float = 0.5, epoch: int = 30) -> PolicyContext:
    """Context with two labeled images; with three classes they are those of the published case."""
    probabilities = torch.tensor([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1]])
    if classes != 3:
        probabilities = torch.rand(2, classes, generator=torch_generator(classes, "labeled")).softmax(dim=1)
    shares = torch.arange(1.0, classes + 1) / (classes * (classes + 1) / 2)
    return PolicyContext(progress, LabeledPredictions(probabilities, torch.tensor([0, 1])), epoch, shares)
