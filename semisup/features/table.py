"""Table of the features of a run's images, in the memory of the device or read from files."""

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.features.concatenation import concatenate_features
from semisup.features.store import FeaturePack
from semisup.images.on_disk import LazyImages
from semisup.model.linear import scale_rows

MAX_SCALED_BYTES = 2**28
"""Largest size of a table whose rows are scaled in advance: scaling all rows then takes less time than it saves."""

BLOCK = 1024  # rows


class FeatureTable:
    """The features of T images: D features for each of K views, (T, K, D).

    Args:
        packs: for each network of the encoder, the pack that contains the features of all these images; the features
            of several networks are combined by `concatenate_features`.
        digests: digests of the T images.
        device: device to which features are moved.
        resident: True = keep all features in the memory of the device; False = read them from files when needed.
        augmented: number A of images, the first ones of the table, whose features may be scaled in advance; None = all.
    """

    def __init__(
        self,
        packs: Sequence[FeaturePack],
        digests: Sequence[bytes],
        device: torch.device,
        *,
        resident: bool,
        augmented: int | None = None,
    ) -> None:
        self.views, self.dimension = packs[0].shape[0], sum(pack.shape[1] for pack in packs)
        self.device, self.count = device, len(digests)
        self.augmented = self.count if augmented is None else augmented
        self.lazy: list[LazyImages] = []  # of each pack; empty if the features are in memory
        self.values = torch.empty(0, self.dimension, dtype=torch.float16)
        if not resident:
            self.lazy = [_rows_on_disk(pack, digests) for pack in packs]
        elif self.count:
            every = numpy.arange(self.count * self.views)
            self.values = _read([_rows_on_disk(pack, digests) for pack in packs], every).to(device)  # (T * K, D)
        self._scaled: dict[float, Tensor] = {}  # length -> (A * K, D) float32

    @property
    def nbytes(self) -> int:
        """Number of bytes of memory that the table takes."""
        return self.values.nbytes + sum(each.nbytes for each in self._scaled.values())

    def can_scale(self, most_bytes: float) -> bool:
        """Whether features can be scaled in advance: they are in CPU memory, and their scaled copy is small enough.

        Args:
            most_bytes: largest size of the scaled copy in bytes; it is at most MAX_SCALED_BYTES in any case.
        """
        # on a GPU, the sum of squares of a row can depend on the number of rows
        is_small = 4 * self.augmented * self.views * self.dimension <= min(most_bytes, MAX_SCALED_BYTES)
        return is_small and not self.lazy and self.device.type == "cpu"

    def scaled(self, length: float) -> Tensor:
        """Return features, scaled to the Euclidean length `length`, as (A * K, D) float32; computed once."""
        if length not in self._scaled:
            self._scaled.clear()
            values = self.values[: self.augmented * self.views]
            rows = torch.empty(values.shape, dtype=torch.float32)
            for start in range(0, len(rows), BLOCK):
                rows[start : start + BLOCK] = scale_rows(values[start : start + BLOCK].float(), length)
            self._scaled[length] = rows
        return self._scaled[length]

    def gather(self, position: Tensor, view: Tensor | None = None) -> Tensor:
        """Return the features of U images, each as an image with D channels and one pixel.

        Args:
            position: (U,) int64 in [0, T), indices of the images in the table.
            view: (U,) int64 in [0, K) on the CPU, index of the view of each image; None = view 0.

        Returns:
            (U, D, 1, 1) float32 on the device.
        """
        if not self.lazy:
            values = self.values.index_select(0, self._rows(position, view))
        else:
            index = position.cpu() * self.views + (0 if view is None else view)
            values = to_device(_read(self.lazy, index), self.device)
        return values.float()[:, :, None, None]

    def gather_scaled(self, length: float, position: Tensor, view: Tensor | None = None) -> Tensor:
        """Return the features of some images, scaled to the Euclidean length `length`.

        Args:
            position, view: as in `gather`, but only for the first A images of the table.

        Returns:
            (U, D, 1) float32; the third dimension tells `UnitLength` that the features are scaled.
        """
        return self.scaled(length).index_select(0, self._rows(position, view))[:, :, None]

    def _rows(self, position: Tensor, view: Tensor | None) -> Tensor:
        """Compute the row indices of these images and views in the table with T * K rows, (U,) int64 on the device.

        Args:
            position, view: as in `gather`.
        """
        rows = to_device(position, self.device)
        if self.views > 1:
            rows = rows * self.views
        return rows if view is None else rows + to_device(view, self.device)


def _rows_on_disk(pack: FeaturePack, digests: Sequence[bytes]) -> LazyImages:
    """Return the rows of some images in a pack, all views of an image one after another, as (T * K, 2 D) uint8."""
    views = pack.shape[0]
    segment, row = pack.locate(digests)
    rows = (row[:, None] * views + numpy.arange(views)).reshape(-1)
    return LazyImages(pack.sources, numpy.repeat(segment, views), rows, torch.device("cpu"))


def _read(packs: Sequence[LazyImages], index: Any) -> Tensor:
    """Read the rows of one or more packs and combine their features.

    Args:
        index: (n,) integers, the rows.

    Returns:
        (n, D) float16.
    """
    if len(index) == 0:  # torch cannot convert an empty array of bytes to float16
        return torch.empty(0, sum(rows.shape[1] // 2 for rows in packs), dtype=torch.float16)
    if len(packs) == 1:
        return packs[0][index].view(torch.float16)
    starts = range(0, len(index), BLOCK)
    blocks = [index[start : start + BLOCK] for start in starts]  # because all rows in float32 would take much memory
    combined = [concatenate_features([rows[block].view(torch.float16) for rows in packs]) for block in blocks]
    return torch.cat(combined)
