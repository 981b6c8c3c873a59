"""Images of which a model sees stored features: batches hold positions in the run's feature tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semisup.features.table import FeatureTable


class EncodedImages:
    """The images of one split; stands in for their pixels.

    Args:
        positions: (n,) int64, of each image in the table.
        table: features of the images as they are, in one view.
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
        """Return the positions (U,) of the images of these numbers."""
        return self.positions[index.to(self.positions.device) if isinstance(index, Tensor) else index]

    def split(self, size: int) -> Iterator[Tensor]:
        """Iterate over all positions, `size` at once."""
        yield from self.positions.split(size)

    def to(self, device: torch.device) -> "EncodedImages":
        assert device == self.device, "the table is where the run is"
        return self

    def plain(self, batch: Tensor) -> Tensor:
        """Return the features (U, D, 1, 1) float32 of the images at these positions, as they are."""
        return self.table.gather(batch)


@dataclass(frozen=True)
class StoredViews:
    """An augmentation by stored views: each image gets one of its K views, drawn evenly for every step.

    strength: of the augmentation that the views were made by
    table: features of the labeled and unlabeled images in K views
    """

    strength: float
    table: FeatureTable

    def apply(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Map positions (n,) int64 to features (n, D, 1, 1) float32."""
        if self.table.views == 1:
            return self.table.gather(pixels)
        view = torch.randint(self.table.views, (len(pixels),), generator=generator)
        return self.table.gather(pixels, view)
