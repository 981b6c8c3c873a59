"""Settings that all encoders share."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from semisup.errors import check_choice, check_range
from semisup.runtime.precision import default_precision
from semisup.runtime.weights_file import require_digest

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class ViewSettings:
    """Abstract base class of the settings of encoders.

    sha256: digest of the weights file; None = do not check it
    views: number of augmented views of each image, 1 to 1000
    view_seed: seed of the augmentation of the views
    batch: number of images in a forward pass, 1 to 4096
    precision: auto, float32 or bfloat16
    cache: folder in which features are stored; None = keep them in memory
    """

    sha256: str | None
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

    def weights_file(self) -> Path:
        raise NotImplementedError

    def download_url(self) -> str | None:
        return None

    def identified(self, device: str) -> Self:
        kind = device.partition(":")[0]
        precision = default_precision(kind) if self.precision == "auto" else self.precision
        digest = require_digest("encoder.weights", self.weights_file(), self.sha256)
        return replace(self, precision=precision, sha256=digest)
