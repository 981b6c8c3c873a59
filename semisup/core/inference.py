"""Inference: compute logits from images, and probabilities, classes and confidence from logits.

To compute pseudo-labels, the logits are divided by a temperature. It is 1, unless `labeler.calibrate=true`: then it is
fitted to the validation set at every evaluation (arXiv 1706.04599, section 4.2).
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
    """Settings of the section `labeler` of the config: how pseudo-labels are computed.

    calibrate: fit the temperature to the validation set
    teachers: number of latest labelings of the unlabeled set whose probabilities are averaged, at least 1
    """

    calibrate: bool
    teachers: int = field(metadata=added(1))

    def __post_init__(self) -> None:
        check_range("teachers", self.teachers, 1)


def to_float(pixels: Tensor) -> Tensor:
    """Convert (n, C, S, S) uint8 images to float32 in [0, 1], without augmentation."""
    return pixels.to(torch.float32).div_(255)


def initial_temperature() -> StateDict:
    """Return a state dict that contains only the calibration temperature at the beginning of a training, which is 1."""
    return {TEMPERATURE: torch.ones((), dtype=torch.float64)}


def apply_temperature(logits: Tensor, memory: StateDict) -> Tensor:
    """Divide (U, K) logits by the temperature.

    Args:
        memory: the state dict of the method, which contains the temperature.
    """
    return logits.float() / memory[TEMPERATURE]


def predict(logits: Tensor) -> PseudoLabels:
    """Compute pseudo-labels from (U, K) logits by a softmax over the classes, in float32 and without gradient."""
    probabilities = logits.detach().float().softmax(dim=1)
    confidence, targets = probabilities.max(dim=1)
    return PseudoLabels(probabilities, confidence, targets)


def plain_input(pixels: Pixels) -> Callable[[Tensor], Tensor]:
    """Return a function that converts a batch of `pixels` to the input of a model, without augmentation.

    The input is the stored features of the images, if `pixels` has some, else the pixels as floats in [0, 1].
    """
    return pixels.plain if isinstance(pixels, Encoded) else to_float


@torch.no_grad()
def iter_logits(model: nn.Module, pixels: Pixels, batch_size: int) -> Iterator[Tensor]:
    """Yield the logits of (n, C, S, S) uint8 images, batch by batch.

    The model is switched to eval mode; its previous mode is restored at the end.
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
    """Compute into how many forward passes a batch is divided, to limit the memory for activations on a CPU.

    On a GPU, and for features instead of images, a batch is not divided: the number is 1.
    """
    if batch.device.type != "cpu" or batch.ndim < 4:
        return 1
    # 256 images: 1 pass up to 64 x 64 pixels, 13 passes at 224 x 224; `tensor_split` makes nearly equal sizes, because
    # a last pass with a single image could have other logits (rounding)
    most = max(1, MAX_PIXELS_PER_PASS // (batch.shape[2] * batch.shape[3]))
    return max(1, -(-len(batch) // most))
