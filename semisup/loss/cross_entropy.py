"""The mean cross-entropy, with equal weights for all images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from semisup.core.losses import ClassTerms


@dataclass(frozen=True)
class CrossEntropy:
    """The mean cross-entropy; it has no settings."""

    without_unlabeled: ClassVar[Mapping[str, object]] = {}

    def labeled(self, counts: Tensor) -> ClassTerms:
        return ClassTerms()
