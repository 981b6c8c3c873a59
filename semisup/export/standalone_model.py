"""Combine a trained model, its encoder and its preprocessing into one network, for export.

    uint8 RGB (n, S, S, 3) -> [gray] -> / 255 -> [resize] -> [encoder] -> model -> softmax -> (n, K) float32

Some models do not have the steps in brackets. An encoder of several networks resizes the images for each network and
concatenates their features. The input must already be decoded and have S x S pixels. Everything is computed in float32.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from semisup.core.layers import NormalizedNetwork
from semisup.encoder import Encoder
from semisup.features import concatenate_features
from semisup.runner.classifier import to_gray
from semisup.runner.trained_model import TrainedModel


class NetworkInput(NamedTuple):
    """Input that a network expects.

    size: side in pixels to which images are resized
    mean, std: mean and standard deviation by which each channel is normalized; None = no normalization
    """

    size: int
    mean: list[float] | None = None
    std: list[float] | None = None


class StandaloneModel(nn.Module):
    """The network that is exported: preprocessing, encoder, model and softmax.

    Args:
        trained: the model of a run, on the CPU; it is changed, and must not be used afterwards.
        encoder: the encoder of the run; None = the model takes images.

    Attributes:
        gray: whether images are converted to gray.
        size: S, the side of the input in pixels.
        inputs: input of each network of the encoder or, without an encoder, of the model.

    Raises:
        SettingError: a file with weights of the encoder is missing, or has another content than in the run.
    """

    def __init__(self, trained: TrainedModel, encoder: Encoder | None) -> None:
        super().__init__()
        self.gray = trained.channels == 1
        self.size = trained.run_config.dataset.size
        self.model = trained.network
        self.model.__dict__.pop("forward", None)  # the wrapper for precision and memory layout
        networks: list[nn.Module] = [] if encoder is None else [part.build() for part in encoder.parts()]
        self.encoder: Any = nn.ModuleList(networks) if len(networks) > 1 else networks[0] if networks else None
        self.inputs = [self._take_over_resizing(each) for each in (networks or [self.model])]
        for number, each in enumerate(self.inputs):
            matrix = _resize_matrix(self.size, each.size) if each.size != self.size else None
            self.register_buffer(f"resize_{number}", matrix, persistent=False)
        self.requires_grad_(False).eval()

    def _take_over_resizing(self, network: nn.Module) -> NetworkInput:
        """Return the input of a network; the network no longer resizes images, because this network does it."""
        if not isinstance(network, NormalizedNetwork):
            return NetworkInput(self.size)
        size, network.size = network.size or self.size, None
        return NetworkInput(size, network.mean.flatten().tolist(), network.std.flatten().tolist())

    def forward(self, images: Tensor) -> Tensor:
        """Compute the probabilities, (n, K) float32, of (n, S, S, 3) uint8 RGB images."""
        pixels = images.permute(0, 3, 1, 2)
        pixels = to_gray(pixels) if self.gray else pixels
        values = pixels.to(torch.float32) / 255
        if self.encoder is None:
            values = self._resized(values, 0)
        else:
            networks = self.encoder if isinstance(self.encoder, nn.ModuleList) else [self.encoder]
            features = [
                each.network(each.normalized(self._resized(values, number))).to(torch.float16)  # rounded as in training
                for number, each in enumerate(networks)
            ]
            values = concatenate_features(features).to(torch.float32)[:, :, None, None]
        probabilities: Tensor = self.model(values).softmax(dim=1)
        return probabilities

    def _resized(self, values: Tensor, number: int) -> Tensor:
        """Resize images for a network, whose index in `inputs` is `number`."""
        matrix: Tensor | None = getattr(self, f"resize_{number}")
        return values if matrix is None else matrix @ values @ matrix.T


def _resize_matrix(size: int, target: int) -> Tensor:
    """Compute the matrix M, (target, size), that resizes one side of an image, bicubic and antialiased.

    The resized image is M X M^T, because resizing is linear and separable.
    """
    return interpolate(torch.eye(size)[None, None], (target, size), mode="bicubic", antialias=True)[0, 0]
