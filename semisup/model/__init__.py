"""Models: settings that build a network for C channels, K classes and images of side S."""

from typing import Protocol, runtime_checkable

from torch import nn


class ModelSettings(Protocol):
    """What every model's settings do."""

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        """A network from (n, channels, size, size) float in [0, 1] to (n, num_classes) logits.

        Args:
            pretrained: False = leave out pretrained weights, if the settings ask for any: the caller has its own.

        Raises:
            SettingError: it cannot take images of this size, or its weights cannot be had.
        """
        ...


@runtime_checkable
class Downloadable(Protocol):
    """Settings that may ask for weights of somewhere else."""

    def download_url(self) -> str | None:
        """The address from which `build` would fetch weights now; None where it needs none, or has them."""
        ...
