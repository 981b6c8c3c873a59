"""Models: settings that build a network for images of C channels and S x S pixels, and K classes."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from semisup.errors import SettingError
from semisup.runtime.weights_file import WeightsInfo


class ModelSettings(Protocol):
    """The settings of one model."""

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        """Build a network that maps (n, channels, size, size) float in [0, 1] to (n, num_classes) logits.

        Args:
            pretrained: False = do not load pretrained weights, even if the settings name some: the caller loads its
                own into the same structure.

        Raises:
            SettingError: the model cannot take images of this size, or its weights cannot be loaded.
        """
        ...


@runtime_checkable
class Pretrained(Protocol):
    """Settings of a model that can start from pretrained weights, which are one file on this machine.

    `weights` in the config names the file or an entry of a library's list; `sha256` in the config identifies it.
    """

    @property
    def weights(self) -> str | None: ...

    @property
    def sha256(self) -> str | None: ...

    def weights_file(self) -> Path | None:
        """Return the path that the weights are read from, whether it exists or not; None without pretrained weights."""
        ...

    def download_url(self) -> str | None:
        """Return the URL that `weights_digest` would download now; None if nothing is missing or nothing can be."""
        ...

    def weights_digest(self) -> str | None:
        """Return the sha256 of the weights' file, downloaded if missing; None without pretrained weights.

        Raises:
            SettingError: there is no such file, it has another digest than `sha256`, or it does not hold the weights of
                this model.
        """
        ...

    def weights_info(self) -> WeightsInfo | None:
        """Describe the weights for run.json; None without pretrained weights."""
        ...


@runtime_checkable
class ResizesImages(Protocol):
    """Settings of a model that can resize images to the side that its network is made for."""

    @property
    def architecture(self) -> str: ...

    @property
    def input_size(self) -> int | None: ...

    def own_size(self) -> int:
        """Return the side in pixels of the images that the network is made for."""
        ...


def identify_weights(model: Any) -> Any:
    """Return the settings of a model with `sha256` filled in from the file of its weights.

    Raises:
        SettingError: the file is missing, unusable, or not the one whose `sha256` is given.
    """
    if not isinstance(model, Pretrained):
        return model
    if model.weights is None:
        if model.sha256 is not None:
            raise SettingError("model.sha256", model.sha256, "must be null where model.weights is null")
        return model
    return replace(model, sha256=model.weights_digest())  # type: ignore[type-var]
