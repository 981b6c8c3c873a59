"""Combine trained models and their encoders into one network that classifies images."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from semisup.encoder import Encoder, encode_batch
from semisup.features.encode import encoding_mode


class Ensemble(nn.Module):
    """Network that applies several models, with their encoders, to the same images.

    Features are bit-identical to those with which the models were trained. Models with equal encoders share the
    features.

    Args:
        models: networks that map images, or (n, D, 1, 1) float32 features, to (n, K) logits.
        encoders: settings of the encoder of each model; None = the model takes images.
    """

    def __init__(self, models: Sequence[nn.Module], encoders: Sequence[Encoder | None]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.encoders = [None if encoder is None else _for_plain_images(encoder) for encoder in encoders]
        self.distinct = [encoder for encoder in dict.fromkeys(self.encoders) if encoder is not None]
        self.networks = nn.ModuleList(encoder.build() for encoder in self.distinct)

    def last_encoder(self) -> tuple[nn.Module | None, int]:
        """Return the encoder network that is applied last, and its number of images in a forward pass.

        Returns:
            (None, 0) if no model has an encoder.
        """
        return (self.networks[-1], self.distinct[-1].batch) if self.distinct else (None, 0)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of the M models, (n, M, K), from (n, C, S, S) float images in [0, 1]."""
        inputs: dict[Encoder | None, Tensor] = {None: images}
        for encoder, network in zip(self.distinct, self.networks, strict=True):
            inputs[encoder] = _features(network, images, encoder)
        logits = [model(inputs[encoder]) for model, encoder in zip(self.models, self.encoders, strict=True)]
        return torch.stack(logits, dim=1)


def _for_plain_images(encoder: Any) -> Any:
    """Return the settings of an encoder, with fixed values for the cache and the augmented views.

    Two encoders whose settings are then equal compute the same features of images without augmentation.
    """
    return dataclasses.replace(encoder, cache=None, views=1, view_seed=0)


def _features(network: Any, images: Tensor, encoder: Encoder) -> Tensor:
    with encoding_mode():
        features = torch.cat([encode_batch(network, part, encoder.batch) for part in images.split(encoder.batch)])
    return features.float()[:, :, None, None]
