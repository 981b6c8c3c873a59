"""Encoder and trained model as one network of images, for prediction."""

import torch
from torch import Tensor, nn

from semisup.encoder import BackboneNetwork, encode_batch
from semisup.features.encode import encoding_mode


class EncodedClassifier(nn.Module):
    """Encodes images as the packs of a run were encoded, then applies its model: the same bits as in the run.

    Args:
        encoder: the frozen network.
        model: maps (n, D, 1, 1) float32 features to (n, num_classes) logits.
        batch: images that are encoded at once.
    """

    def __init__(self, encoder: BackboneNetwork, model: nn.Module, batch: int) -> None:
        super().__init__()
        self.encoder, self.model, self.batch = encoder, model, batch

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, C, S, S) float images in [0, 1] to (n, num_classes) logits."""
        with encoding_mode():
            features = torch.cat([encode_batch(self.encoder, part, self.batch) for part in images.split(self.batch)])
        logits: Tensor = self.model(features.float()[:, :, None, None])
        return logits
