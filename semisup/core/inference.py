"""From logits to labels: the probabilities, the surest class, and how sure.

The logits that make pseudo-labels are divided by a temperature, `apply_temperature`, that a method remembers: 1, unless
`labeler.calibrate` fits it on the validation set at every evaluation (arXiv 1706.04599, section 4.2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semisup.core.types import Pixels, PseudoLabels, StateDict

TEMPERATURE = "labeler/temperature"
"""Its name in a method's memory, () float64, and in the log."""

MAX_PIXELS_PER_PASS = 2**20
"""Of a pass on a processor."""


@dataclass(frozen=True)
class LabelerSettings:
    """`calibrate`: divide the logits that make pseudo-labels by the temperature that fits the validation set best."""

    calibrate: bool


def to_float(pixels: Tensor) -> Tensor:
    """(n, C, S, S) uint8 -> float32 in [0, 1]: what a model sees when nothing is augmented."""
    return pixels.to(torch.float32).div_(255)


def initial_temperature() -> StateDict:
    """Before the first evaluation: 1, as the model is."""
    return {TEMPERATURE: torch.ones((), dtype=torch.float64)}


def apply_temperature(logits: Tensor, memory: StateDict) -> Tensor:
    """(U, K) logits divided by the temperature, in float32; by 1 they stay what they are, to the bit."""
    return logits.float() / memory[TEMPERATURE]


def predict(logits: Tensor) -> PseudoLabels:
    """(U, K) logits -> Labels; softmax over the classes in float32. Nothing flows back through it."""
    probabilities = logits.detach().float().softmax(dim=1)
    confidence, targets = probabilities.max(dim=1)
    return PseudoLabels(probabilities, confidence, targets)


@torch.no_grad()
def iter_logits(model: nn.Module, pixels: Pixels, batch_size: int) -> Iterator[Tensor]:
    """The logits of (n, C, S, S) uint8 images as they are, batch by batch, in eval mode; the mode is put back."""
    was_training = model.training
    model.eval()
    try:
        for batch in pixels.split(batch_size):
            parts = batch.tensor_split(_micro_batches(batch))
            yield torch.cat([model(to_float(part)).float() for part in parts])
    finally:
        model.train(was_training)


def _micro_batches(batch: Tensor) -> int:
    """In how many passes of nearly equal size the model looks at a batch: on a processor at no more at once than pays,
    for activations, and not the pool, are what a run's memory is spent on. One for 256 images up to 64 pixels a side,
    13 at 224. A single image left over would have other last bits."""
    if batch.device.type != "cpu":
        return 1
    most = max(1, MAX_PIXELS_PER_PASS // (batch.shape[2] * batch.shape[3]))
    return max(1, -(-len(batch) // most))
