"""Models: settings from which a network is built.

A network takes images of C channels and S x S pixels and returns logits of K classes.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import nn

from semisup.errors import SettingError
from semisup.runtime.weights_file import WeightsInfo


class ModelSettings(Protocol):
    """Interface of the settings of a model."""

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        """Build a network that maps (n, channels, size, size) float images in [0, 1] to (n, num_classes) logits.

        Args:
            pretrained: False = do not load the pretrained weights that the settings name; for callers that load other
                weights into the network.

        Raises:
            SettingError: the model cannot take images of this size, or its weights cannot be loaded.
        """
        ...


@runtime_checkable
class Pretrained(Protocol):
    """Interface of the settings of a model that can start from pretrained weights in a file.

    weights: path of the file, or the name of weights in a library's list; None = random weights
    sha256: digest of the file; None = do not check it
    """

    @property
    def weights(self) -> str | None: ...

    @property
    def sha256(self) -> str | None: ...

    def weights_file(self) -> Path | None:
        """Return the path of the file with the pretrained weights; the file may not exist yet.

        Returns:
            None without pretrained weights.
        """
        ...

    def download_url(self) -> str | None:
        """Return the URL from which the pretrained weights must be downloaded; None if no download is needed."""
        ...

    def weights_digest(self) -> str | None:
        """Return the sha256 of the file with the pretrained weights; download the file if it is missing.

        Returns:
            None without pretrained weights.

        Raises:
            SettingError: there is no such file, its digest is not `sha256`, or it does not hold weights of this model.
        """
        ...

    def weights_info(self) -> WeightsInfo | None:
        """Return file, digest, source and license of the pretrained weights, for run.json.

        Returns:
            None without pretrained weights.
        """
        ...


@runtime_checkable
class ScalesInput(Protocol):
    """Interface of the settings of a model that first scales the values of each image to the Euclidean length `scale`.

    The first layer of the model is `semisup.model.linear.UnitLength`, to which features can be passed that were scaled
    before.

    scales_input: True; a field `scale` alone can have another meaning
    """

    scales_input: ClassVar[bool]

    @property
    def scale(self) -> float: ...


@runtime_checkable
class ResizesImages(Protocol):
    """Interface of the settings of a model that resizes images to a given size (`input_size`) before its network."""

    @property
    def architecture(self) -> str: ...

    @property
    def input_size(self) -> int | None: ...

    def own_size(self) -> int:
        """Return the side in pixels of the images for which the network was designed."""
        ...


def identify_weights(model: Any) -> Any:
    """Check the weights file of a model; return the model's settings with the digest of the file as `sha256`.

    The settings of a model without pretrained weights are returned unchanged.

    Raises:
        SettingError: the weights file is missing or unusable, or its digest differs from a given `sha256`.
    """
    if not isinstance(model, Pretrained):
        return model
    if model.weights is None:
        if model.sha256 is not None:
            raise SettingError("model.sha256", model.sha256, "must be null if model.weights is null")
        return model
    return replace(model, sha256=model.weights_digest())  # type: ignore[type-var]
