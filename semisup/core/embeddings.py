"""Embeddings: the features of an image from which the classifier layer of a network computes the logits.

The embedding of an image is the input of the classifier layer, averaged over all positions of the image. The classifier
layer is the last linear layer or convolution in the order of declaration, unless the network implements
`NamesClassifier`.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class NamesClassifier(Protocol):
    """Interface of a network with a method that returns its classifier layers."""

    def classifier_layers(self) -> list[nn.Module]:
        """Return the layers that compute the logits; a network with several heads has one for each head."""
        ...


def classifier_layer(model: nn.Module) -> nn.Module:
    """Return the classifier layer of a network; the input of this layer is the embedding.

    If the network has several classifier layers, the first one is returned.
    """
    if isinstance(model, NamesClassifier):
        return model.classifier_layers()[0]
    return [each for each in model.modules() if isinstance(each, nn.Linear | nn.Conv2d)][-1]


@contextlib.contextmanager
def record_inputs(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Record the input of a layer in every forward pass inside the context.

    Yields:
        a list. Each forward pass appends the input of the layer, averaged over the positions of the image, as (n, D)
        float32 on the device of the model.
    """
    inputs: list[Tensor] = []

    def record(_: nn.Module, values: tuple[Any, ...]) -> None:
        inputs.append(_mean_over_positions(layer, values[0]).detach().float())

    handle = layer.register_forward_pre_hook(record)
    try:
        yield inputs
    finally:
        handle.remove()


def _mean_over_positions(layer: nn.Module, values: Tensor) -> Tensor:
    """Average the input of a layer over the positions of the image.

    Args:
        layer: the layer.
        values: (n, D, H, W) feature maps, (n, ..., D) tokens for a linear layer, or (n, D).

    Returns:
        (n, D).
    """
    if values.ndim == 4 and not isinstance(layer, nn.Linear):
        return values.mean(dim=(2, 3))
    return values.mean(dim=tuple(range(1, values.ndim - 1))) if values.ndim > 2 else values
