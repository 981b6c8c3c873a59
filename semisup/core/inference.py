"""Inference: compute logits from images, and probabilities, classes and confidence from logits.

Before logits become pseudo-labels, they are divided by a temperature, which is part of the state of a method. The
temperature is 1, unless `labeler.calibrate=true`: then it is fitted to the validation set at every evaluation (arXiv
1706.04599, section 4.2).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from semisup.core.added_setting import added
from semisup.core.types import Encoded, Pixels, PseudoLabels, StateDict
from semisup.errors import check_range

TEMPERATURE = "labeler/temperature"
"""Key of the temperature, () float64, in the state of a method and in the log."""

MAX_PIXELS_PER_PASS = 2**20
"""Largest number of pixels in one forward pass on a CPU (number of images * S * S)."""


@dataclass(frozen=True)
class LabelerSettings:
    """Settings for the computation of pseudo-labels. Keys: `labeler` in `conf/train.yaml`."""

    calibrate: bool
    teachers: int = field(metadata=added(1))

    def __post_init__(self) -> None:
        check_range("teachers", self.teachers, 1)


def to_float(pixels: Tensor) -> Tensor:
    """Convert (n, C, S, S) uint8 images to float32 in [0, 1], without augmentation."""
    return pixels.to(torch.float32).div_(255)


def initial_temperature() -> StateDict:
    """Return the initial temperature by which logits are divided for pseudo-labels: 1."""
    return {TEMPERATURE: torch.ones((), dtype=torch.float64)}


def apply_temperature(logits: Tensor, memory: StateDict) -> Tensor:
    """Divide (U, K) logits, in float32, by the temperature that `memory` contains.

    A temperature of 1 leaves float32 logits bit-identical.
    """
    return logits.float() / memory[TEMPERATURE]


def predict(logits: Tensor) -> PseudoLabels:
    """Compute pseudo-labels from (U, K) logits by a softmax over the classes, in float32, without gradient."""
    probabilities = logits.detach().float().softmax(dim=1)
    confidence, targets = probabilities.max(dim=1)
    return PseudoLabels(probabilities, confidence, targets)


def plain_input(pixels: Pixels) -> Callable[[Tensor], Tensor]:
    """Return a function that converts a batch of `pixels` to the input of a model, without augmentation.

    The function looks up stored features, or converts the pixels to floats in [0, 1].
    """
    return pixels.plain if isinstance(pixels, Encoded) else to_float


@torch.no_grad()
def iter_logits(model: nn.Module, pixels: Pixels, batch_size: int) -> Iterator[Tensor]:
    """Yield the logits of (n, C, S, S) uint8 images, batch by batch.

    The model is in eval mode meanwhile; its previous mode is restored at the end.
    """
    was_training = model.training
    as_input = plain_input(pixels)
    model.eval()
    try:
        for batch in pixels.split(batch_size):
            parts = batch.tensor_split(_micro_batches(batch))
            yield torch.cat([model(as_input(part)).float() for part in parts])
    finally:
        model.train(was_training)


def _micro_batches(batch: Tensor) -> int:
    """Compute the number of forward passes into which a large batch is divided on a CPU.

    The division limits the memory for activations, which is most of the memory of a run. A batch of 256 images needs 1
    pass up to 64 x 64 pixels and 13 passes at 224 x 224. Nearly equal sizes avoid a last pass with a single image,
    whose logits could differ slightly (rounding).
    """
    if batch.device.type != "cpu" or batch.ndim < 4:
        return 1
    most = max(1, MAX_PIXELS_PER_PASS // (batch.shape[2] * batch.shape[3]))
    return max(1, -(-len(batch) // most))
