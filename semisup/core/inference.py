"""Inference: from images to logits, and from logits to probabilities, classes and confidence.

Logits that give pseudo-labels are divided by a temperature, which is part of the state of a method: 1, unless
`labeler.calibrate` fits it on the validation set at every evaluation (arXiv 1706.04599, section 4.2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semisup.core.types import Encoded, Pixels, PseudoLabels, StateDict

TEMPERATURE = "labeler/temperature"
"""Key of the temperature, () float64, in the state of a method and in the log."""

MAX_PIXELS_PER_PASS = 2**20
"""Largest number of pixels of a forward pass on a CPU, images times S x S."""


@dataclass(frozen=True)
class LabelerSettings:
    """Settings of pseudo-labels. Keys: `labeler` in `conf/train.yaml`."""

    calibrate: bool


def to_float(pixels: Tensor) -> Tensor:
    """Convert (n, C, S, S) uint8 images to float32 in [0, 1], without augmentation."""
    return pixels.to(torch.float32).div_(255)


def initial_temperature() -> StateDict:
    """Return the temperature before the first evaluation, 1."""
    return {TEMPERATURE: torch.ones((), dtype=torch.float64)}


def apply_temperature(logits: Tensor, memory: StateDict) -> Tensor:
    """Divide (U, K) logits by the temperature, in float32; a temperature of 1 leaves them bit-identical."""
    return logits.float() / memory[TEMPERATURE]


def predict(logits: Tensor) -> PseudoLabels:
    """Compute pseudo-labels of (U, K) logits: softmax over the classes in float32, without gradient."""
    probabilities = logits.detach().float().softmax(dim=1)
    confidence, targets = probabilities.max(dim=1)
    return PseudoLabels(probabilities, confidence, targets)


@torch.no_grad()
def iter_logits(model: nn.Module, pixels: Pixels, batch_size: int) -> Iterator[Tensor]:
    """Yield the logits of (n, C, S, S) uint8 images, batch by batch, in eval mode; restores the mode at the end."""
    was_training = model.training
    as_input = pixels.plain if isinstance(pixels, Encoded) else to_float
    model.eval()
    try:
        for batch in pixels.split(batch_size):
            parts = batch.tensor_split(_micro_batches(batch))
            yield torch.cat([model(as_input(part)).float() for part in parts])
    finally:
        model.train(was_training)


def _micro_batches(batch: Tensor) -> int:
    """Count the forward passes, of nearly equal size, that a batch is divided into on a CPU.

    Activations take most of the memory of a run. 256 images need 1 pass up to 64 x 64 pixels and 13 at 224 x 224. Equal
    sizes avoid a last pass of a single image, whose last bits would differ.
    """
    if batch.device.type != "cpu" or batch.ndim < 4:
        return 1
    most = max(1, MAX_PIXELS_PER_PASS // (batch.shape[2] * batch.shape[3]))
    return max(1, -(-len(batch) // most))
