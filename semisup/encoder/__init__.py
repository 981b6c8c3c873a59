"""Encoders: settings of frozen, pretrained networks whose features replace the images of a run.

The features of each image are computed once and stored (`semisup/features`), without augmentation and in several
augmented views. A run then trains a small model on them. With `encoder=none`, a run trains on the images themselves.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from semisup.encoder._network import BackboneNetwork, encode_batch
from semisup.runtime.weights_file import WeightsInfo

__all__ = ["BackboneNetwork", "Encoder", "NetworkEncoder", "encode_batch", "identify_encoder"]


@runtime_checkable
class Encoder(Protocol):
    """Interface of the settings of an encoder; the class of `encoder=none` does not implement it."""

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

    def dimension(self) -> int:
        """Return the number of features that the encoder computes for an image."""
        ...

    def parts(self) -> tuple["NetworkEncoder", ...]:
        """Return the encoders of one network each of which this encoder consists.

        The features of several parts are scaled to length 1 and concatenated (`semisup/features/concatenation.py`).
        Most encoders have one part, themselves.
        """
        ...

    def download_url(self) -> str | None:
        """Return the URL of a weights file that must be downloaded; None if all files exist, or have no URL."""
        ...

    def identified(self, device: str) -> "Encoder":
        """Check the weights files and complete the settings.

        Returns:
            The settings with the digest of each file as `sha256`, and with a precision for `device` instead of `auto`.

        Raises:
            SettingError: a weights file is missing, or its digest differs from a given `sha256`.
        """
        ...


class NetworkEncoder(Encoder, Protocol):
    """Interface of the settings of an encoder that is a single network."""

    @property
    def sha256(self) -> str | None: ...

    def build(self, *, pretrained: bool = True) -> BackboneNetwork:
        """Build the frozen network, in eval mode on the CPU.

        Args:
            pretrained: False = leave the weights random, to inspect the structure only.

        Raises:
            SettingError: the weights are missing, damaged, or have another digest than `sha256`.
        """
        ...

    def weights_file(self) -> Path:
        """Return the path of the encoder's weights file; download the file if necessary.

        Raises:
            SettingError: the file cannot be found or downloaded.
        """
        ...

    def weights_info(self) -> WeightsInfo:
        """Return name, digest, source and license of the weights file, for run.json."""
        ...


def identify_encoder(encoder: object, device: str) -> object:
    """Check the weights files of an encoder; return its settings with `sha256` and `precision` filled in.

    The settings of `encoder=none` are returned unchanged.
    """
    return encoder.identified(device) if isinstance(encoder, Encoder) else encoder
