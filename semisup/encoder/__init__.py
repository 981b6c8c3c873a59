"""Encoders: settings of a frozen, pretrained network whose features replace the images of a run.

Images are encoded once, as they are and in `views` augmented views, and stored (`semisup/features`). A run then trains
a small model on the stored features. `encoder=none` trains on the images themselves.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from semisup.encoder._network import BackboneNetwork, encode_batch
from semisup.runtime.weights_file import WeightsInfo

__all__ = ["BackboneNetwork", "Encoder", "encode_batch", "identify_encoder"]


@runtime_checkable
class Encoder(Protocol):
    """The settings of one frozen encoder; `encoder=none` has none of this."""

    @property
    def views(self) -> int: ...

    @property
    def view_seed(self) -> int: ...

    @property
    def batch(self) -> int: ...

    @property
    def precision(self) -> str: ...

    @property
    def cache(self) -> str | None: ...

    @property
    def sha256(self) -> str | None: ...

    def dimension(self) -> int:
        """Return D, the number of features of an image."""
        ...

    def build(self, *, pretrained: bool = True) -> BackboneNetwork:
        """Build the frozen network, in eval mode on the CPU.

        Args:
            pretrained: False = leave the weights random, to inspect the structure only.

        Raises:
            SettingError: the weights are missing, damaged, or not the ones with digest `sha256`.
        """
        ...

    def weights_file(self) -> Path:
        """Return the file of the weights, downloaded if need be.

        Raises:
            SettingError: there is none; says how to get it.
        """
        ...

    def download_url(self) -> str | None:
        """Return the URL that `weights_file` would download now; None if the file is here or cannot be downloaded."""
        ...

    def weights_info(self) -> WeightsInfo:
        """Describe the weights for run.json."""
        ...

    def identified(self, device: str) -> "Encoder":
        """Return the settings with `sha256` filled in from the file, and `precision: auto` resolved for the device.

        Raises:
            SettingError: the file is missing or not the one whose `sha256` is given.
        """
        ...


def identify_encoder(encoder: object, device: str) -> object:
    """Check the weights of an encoder and fill in what their file and the device decide."""
    return encoder.identified(device) if isinstance(encoder, Encoder) else encoder
