"""Encoders: settings of a frozen, pretrained network whose features replace the images of a run.

Each image is encoded once without augmentation and in `views` augmented views, and the features are stored
(`semisup/features`). A run then trains a small model on the stored features. With `encoder=none` a run trains on the
images themselves.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from semisup.encoder._network import BackboneNetwork, encode_batch
from semisup.runtime.weights_file import WeightsInfo

__all__ = ["BackboneNetwork", "Encoder", "encode_batch", "identify_encoder"]


@runtime_checkable
class Encoder(Protocol):
    """Settings of a frozen encoder. The settings of `encoder=none` do not implement this protocol."""

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
            SettingError: the weights are missing, damaged, or have another digest than `sha256`.
        """
        ...

    def weights_file(self) -> Path:
        """Find the file of the weights; download it if necessary.

        Raises:
            SettingError: the file cannot be found or downloaded; the message says how to get it.
        """
        ...

    def download_url(self) -> str | None:
        """Return the URL that `weights_file` would download now; None if the file exists or cannot be downloaded."""
        ...

    def weights_info(self) -> WeightsInfo:
        """Describe the weights for run.json."""
        ...

    def identified(self, device: str) -> "Encoder":
        """Return the settings with the file's digest in `sha256`, and `precision: auto` resolved for the device.

        Raises:
            SettingError: the file of weights is missing, or has another digest than the given `sha256`.
        """
        ...


def identify_encoder(encoder: object, device: str) -> object:
    """Check the weights of an encoder; fill in `sha256` and resolve `precision: auto` (see `Encoder.identified`).

    `encoder=none` is returned unchanged.
    """
    return encoder.identified(device) if isinstance(encoder, Encoder) else encoder
