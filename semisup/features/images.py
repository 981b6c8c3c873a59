"""Objects that replace images and augmentations if a model is trained on stored features.

Instead of pixels, a batch contains the indices of the images' rows in a feature table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semisup.features.table import FeatureTable


class EncodedImages:
    """The images of one split, as indices of their rows in a feature table; replaces a tensor of pixels.

    Args:
        positions: (n,) int64, the index of the row of each image in the table.
        table: features of the images without augmentation.
    """

    def __init__(self, positions: Tensor, table: FeatureTable) -> None:
        self.positions, self.table = positions.to(table.device), table
        self.shape = torch.Size((len(positions), table.dimension, 1, 1))

    @property
    def device(self) -> torch.device:
        return self.table.device

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Any) -> Tensor:
        """Convert indices of images in the split to indices of their rows in the feature table, (U,) int64."""
        if not isinstance(index, Tensor):
            return self.positions[index]
        index = index.to(self.positions.device)
        return self.positions.index_select(0, index) if index.dtype == torch.int64 else self.positions[index]

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield the row indices of all images of the split, `size` at a time."""
        yield from self.positions.split(size)

    def to(self, device: torch.device) -> "EncodedImages":
        assert device == self.device, "the table is where the run is"
        return self

    def plain(self, batch: Tensor) -> Tensor:
        """Return the features of images without augmentation, as (U, D, 1, 1) float32.

        Args:
            batch: (U,) int64, row indices of the images in the feature table.
        """
        return self.table.gather(batch)


@dataclass(frozen=True)
class StoredViews:
    """Augmentation for training on features: it selects one of the K stored views of each image at random.

    strength: strength of the augmentation with which the views were computed
    table: features of the labeled and unlabeled images in K views
    length: Euclidean length to which the features are scaled here, once, instead of in the model's first layer; None =
        the features are not scaled here
    """

    strength: float
    table: FeatureTable
    length: float | None = None

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Return the features of a random stored view of each image.

        Args:
            pixels: (n,) int64, row indices of the images in the feature table (instead of pixels).

        Returns:
            (n, D, 1, 1) float32; scaled features are (n, D, 1).
        """
        several = self.table.views > 1
        view = torch.randint(self.table.views, (len(pixels),), generator=generator) if several else None
        if self.length is not None:
            return self.table.gather_scaled(self.length, pixels, view)
        return self.table.gather(pixels, view)
