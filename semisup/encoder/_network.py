"""The frozen network of an encoder, with its preprocessing of images and with a fixed batch size."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from semisup.core.layers import NormalizedNetwork

FEATURE_TYPE = torch.float16
"""Type in which features are stored. Training, evaluation and prediction all use the features after this rounding."""


class BackboneNetwork(NormalizedNetwork):
    """Network that resizes and normalizes images, then computes their pooled features.

    Args:
        network: network that maps (n, 3, S, S) normalized images to (n, D) features.
        size: S, the side of the network's input; images with another side are resized (bicubic, antialiased).
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
        """Leave the network in eval mode, whatever `mode` is, because training must not change an encoder."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute (n, D) float32 features of (n, C, S, S) float images in [0, 1], gray or RGB."""
        images = self.normalized(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features: Tensor = self.network(images)
        return features.float()


@torch.no_grad()
def encode_batch(network: BackboneNetwork, images: Tensor, batch: int) -> Tensor:
    """Compute the features of n images in one forward pass; the batch is padded with black images to `batch` images.

    Because all batches have the same size, the rounding of a feature does not depend on the other images.

    Args:
        images: (n, C, S, S) float in [0, 1], n <= batch.
        batch: number of images in the forward pass.

    Returns:
        (n, D) float16; features beyond 65,504 (the largest float16) become infinite.
    """
    count = len(images)
    full = pad(images, (0, 0, 0, 0, 0, 0, 0, batch - count))
    features: Tensor = network(full)[:count]
    return features.to(FEATURE_TYPE)
