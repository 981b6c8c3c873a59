"""Combine trained models and their encoders into one network that classifies images."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from semisup.encoder import Encoder, NetworkEncoder, encode_batch
from semisup.features.concatenation import concatenate_features
from semisup.features.encode import encoding_mode


class Ensemble(nn.Module):
    """Network that applies several models, with their encoders, to the same images.

    Features are bit-identical to those with which the models were trained. Models whose
    encoders have the same networks share their features.

    Args:
        models: networks that map images, or (n, D, 1, 1) float32 features, to (n, K) logits.
        encoders: settings of the encoder of each model; None = the model takes images.
    """

    def __init__(self, models: Sequence[nn.Module], encoders: Sequence[Encoder | None]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.encoders = [None if encoder is None else _for_plain_images(encoder) for encoder in encoders]
        used = [encoder for encoder in dict.fromkeys(self.encoders) if encoder is not None]
        self.parts = list(dict.fromkeys(part for encoder in used for part in encoder.parts()))
        self.networks = nn.ModuleList(part.build() for part in self.parts)

    def last_encoder(self) -> tuple[nn.Module | None, int]:
        """Return the encoder network that is applied last, and its number of images in a forward pass.

        Returns:
            (None, 0) if no model has an encoder.
        """
        return (self.networks[-1], self.parts[-1].batch) if self.parts else (None, 0)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of the M models, (n, M, K), from (n, C, S, S) float images in [0, 1]."""
        features = {
            part: _encode(network, images, part) for part, network in zip(self.parts, self.networks, strict=True)
        }
        inputs: dict[Encoder | None, Tensor] = {None: images}
        for encoder in self.encoders:
            if encoder is not None and encoder not in inputs:
                # on the CPU, where stored features are combined, so that they are bit-identical
                rows = concatenate_features([features[part].cpu() for part in encoder.parts()])
                inputs[encoder] = rows.to(images.device).float()[:, :, None, None]
        logits = [model(inputs[encoder]) for model, encoder in zip(self.models, self.encoders, strict=True)]
        return torch.stack(logits, dim=1)


def _for_plain_images(encoder: Any) -> Any:
    """Return the settings of an encoder, with fixed values for the cache and the augmented views.

    Two encoders whose settings are then equal compute the same features of images without augmentation.
    """
    return dataclasses.replace(encoder, cache=None, views=1, view_seed=0)


def _encode(network: Any, images: Tensor, encoder: NetworkEncoder) -> Tensor:
    """Compute the features of images, (n, D) float16, as they would be stored."""
    with encoding_mode():
        return torch.cat([encode_batch(network, part, encoder.batch) for part in images.split(encoder.batch)])
