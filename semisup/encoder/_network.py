"""A frozen network with its own preprocessing, applied to full batches only."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from semisup.core.layers import NormalizedNetwork

FEATURE_TYPE = torch.float16
"""Type in which features are stored; a model sees exactly these values, in training, evaluation and prediction."""


class BackboneNetwork(NormalizedNetwork):
    """Resizes and normalizes images, then computes their pooled features.

    Args:
        network: maps (n, 3, S, S) normalized images to (n, D).
        size: S, the side that the network sees; images of another side are resized (bicubic, antialiased).
        precision: float32 or bfloat16.
    """

    def __init__(
        self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], size: int, precision: str
    ) -> None:
        super().__init__(network, mean, std, size)
        self.precision = precision
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "BackboneNetwork":
        """Stay in eval mode: nothing of an encoder changes."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, C, S, S) float images in [0, 1], gray or RGB, to (n, D) float32 features."""
        images = self.normalized(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features: Tensor = self.network(images)
        return features.float()


@torch.no_grad()
def encode_batch(network: BackboneNetwork, images: Tensor, batch: int) -> Tensor:
    """Encode at most `batch` images as one batch of exactly `batch`, padded with black images.

    The last bits of a feature depend on how many images are computed together, and not on which or on their order.

    Args:
        images: (n, C, S, S) float in [0, 1], n <= batch.

    Returns:
        (n, D) float16; infinite where a feature exceeds 65,504.
    """
    count = len(images)
    full = pad(images, (0, 0, 0, 0, 0, 0, 0, batch - count))
    features: Tensor = network(full)[:count]
    return features.to(FEATURE_TYPE)
