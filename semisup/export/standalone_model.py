"""Combine a trained model, its encoder and its preprocessing into one network, for export.

    uint8 RGB (n, S, S, 3) -> [gray] -> / 255 -> [resize] -> [encoder] -> model -> softmax -> (n, K) float32

Some models do not have the steps in brackets. The input must already be decoded and have S x S pixels. Everything is
computed in float32.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from semisup.core.layers import NormalizedNetwork
from semisup.encoder import Encoder
from semisup.runner.classifier import to_gray
from semisup.runner.trained_model import TrainedModel


class StandaloneModel(nn.Module):
    """The network that is exported: preprocessing, encoder, model and softmax.

    Args:
        trained: the model of a run, on the CPU; it is changed, and must not be used afterwards.
        encoder: the encoder of the run; None = the model takes images.

    Attributes:
        gray: whether images are converted to gray.
        size: S, the side of the input in pixels.
        network_size: the side in pixels to which the network resizes its input.
        mean, std: mean and standard deviation by which each channel is normalized; None = no normalization.

    Raises:
        SettingError: the file with the weights of the encoder is missing, or has another content than in the run.
    """

    resize: Tensor | None
    """(network_size, size), the matrix M of `_resize_matrix`; None if images already have the size of the network."""

    def __init__(self, trained: TrainedModel, encoder: Encoder | None) -> None:
        super().__init__()
        self.gray = trained.channels == 1
        self.size = trained.run_config.dataset.size
        self.model = trained.network
        self.model.__dict__.pop("forward", None)  # the wrapper for precision and memory layout
        self.encoder: Any = None if encoder is None else encoder.build()
        first = self.model if self.encoder is None else self.encoder
        self.network_size = self.size
        self.mean: list[float] | None = None
        self.std: list[float] | None = None
        if isinstance(first, NormalizedNetwork):
            self.mean, self.std = first.mean.flatten().tolist(), first.std.flatten().tolist()
            self.network_size, first.size = first.size or self.size, None  # this network resizes in its place
        matrix = _resize_matrix(self.size, self.network_size) if self.network_size != self.size else None
        self.register_buffer("resize", matrix, persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Compute the probabilities, (n, K) float32, of (n, S, S, 3) uint8 RGB images."""
        pixels = images.permute(0, 3, 1, 2)
        pixels = to_gray(pixels) if self.gray else pixels
        values = pixels.to(torch.float32) / 255
        if self.resize is not None:
            values = self.resize @ values @ self.resize.T
        if self.encoder is not None:
            features = self.encoder.network(self.encoder.normalized(values))
            values = features.to(torch.float16).to(torch.float32)[:, :, None, None]  # rounded as in training
        probabilities: Tensor = self.model(values).softmax(dim=1)
        return probabilities


def _resize_matrix(size: int, target: int) -> Tensor:
    """Compute the matrix M, (target, size), that resizes one side of an image, bicubic and antialiased.

    The resized image is M X M^T, because resizing is linear and separable.
    """
    return interpolate(torch.eye(size)[None, None], (target, size), mode="bicubic", antialias=True)[0, 0]
