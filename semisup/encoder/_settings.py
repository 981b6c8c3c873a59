"""Settings that all encoders share."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from semisup.encoder._network import BackboneNetwork
from semisup.errors import check_choice, check_range
from semisup.runtime.precision import default_precision
from semisup.runtime.weights_file import WeightsInfo, require_digest

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class ViewSettings:
    """Abstract base class of the settings of encoders: how images are augmented, encoded and stored.

    views: number of augmented views of each image, 1 to 1000
    view_seed: seed of the augmentation of the views
    batch: number of images in a forward pass, 1 to 4096
    precision: auto, float32 or bfloat16
    cache: folder in which features are stored; None = keep them in memory
    """

    views: int
    view_seed: int
    batch: int
    precision: str
    cache: str | None

    def __post_init__(self) -> None:
        check_range("views", self.views, 1, 1000)
        check_range("view_seed", self.view_seed, 0, 2**32 - 1)
        check_range("batch", self.batch, 1, 4096)
        check_choice("precision", self.precision, PRECISIONS)

    def precision_on(self, device: str) -> str:
        """Return the precision of the encoder on a device such as `cuda:0`; it replaces `auto`."""
        return default_precision(device.partition(":")[0]) if self.precision == "auto" else self.precision


@dataclass(frozen=True)
class NetworkSettings(ViewSettings):
    """Abstract base class of the settings of encoders that are a single network.

    sha256: digest of the weights file; None = do not check it
    """

    sha256: str | None

    def parts(self) -> tuple[Self, ...]:
        return (self,)

    def dimension(self) -> int:
        raise NotImplementedError

    def build(self, *, pretrained: bool = True) -> BackboneNetwork:
        raise NotImplementedError

    def weights_file(self) -> Path:
        raise NotImplementedError

    def weights_info(self) -> WeightsInfo:
        raise NotImplementedError

    def download_url(self) -> str | None:
        return None

    def identified(self, device: str) -> Self:
        digest = require_digest("encoder.weights", self.weights_file(), self.sha256)
        return replace(self, precision=self.precision_on(device), sha256=digest)
