"""Trained models, with their encoders if they have some, as one network of images, for prediction."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from semisup.encoder import BackboneNetwork, Encoder, encode_batch
from semisup.features.encode import encoding_mode


class Ensemble(nn.Module):
    """Applies several models to the same images; models with equal encoders share the features.

    Images are encoded as the packs of a run are, and give the same bits as in the run.

    Args:
        models: networks of images, or of (n, D, 1, 1) float32 features, that return (n, K) logits.
        encoders: the settings of the encoder of each model; None = it takes images.
    """

    def __init__(self, models: Sequence[nn.Module], encoders: Sequence[Encoder | None]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.encoders = [None if encoder is None else _for_plain_images(encoder) for encoder in encoders]
        self.networks = {encoder: encoder.build() for encoder in self.encoders if encoder is not None}

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, C, S, S) float images in [0, 1] to (n, M, K) logits of the M models."""
        inputs = {None: images} | {each: _features(network, images, each) for each, network in self.networks.items()}
        logits = [model(inputs[encoder]) for model, encoder in zip(self.models, self.encoders, strict=True)]
        return torch.stack(logits, dim=1)


def _for_plain_images(encoder: Any) -> Any:
    """The settings without what does not change the features of an image as it is."""
    return dataclasses.replace(encoder, cache=None, views=1, view_seed=0)


def _features(network: BackboneNetwork, images: Tensor, encoder: Encoder) -> Tensor:
    with encoding_mode():
        features = torch.cat([encode_batch(network, part, encoder.batch) for part in images.split(encoder.batch)])
    return features.float()[:, :, None, None]
