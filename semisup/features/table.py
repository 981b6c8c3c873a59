"""Table of the features of a run's images, in the memory of the device or read from files."""

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.features.store import FeaturePack
from semisup.images.on_disk import LazyImages
from semisup.model.linear import scale_rows

MAX_SCALED_BYTES = 2**28
"""Largest size of a table whose rows are scaled in advance: scaling all rows then takes less time than it saves."""

BLOCK = 1024  # rows


class FeatureTable:
    """The features of T images: D features for each of K views, (T, K, D).

    Args:
        pack: pack that contains the features of all these images.
        digests: digests of the T images.
        device: device to which features are moved.
        resident: True = keep all features in the memory of the device; False = read them from files when needed.
        augmented: number A of images, the first ones of the table, whose features may be scaled in advance; None = all.
    """

    def __init__(
        self,
        pack: FeaturePack,
        digests: Sequence[bytes],
        device: torch.device,
        *,
        resident: bool,
        augmented: int | None = None,
    ) -> None:
        self.views, self.dimension = pack.shape
        self.device, self.count = device, len(digests)
        self.augmented = self.count if augmented is None else augmented
        segment, row = pack.locate(digests)
        offsets = numpy.arange(self.views)
        which = numpy.repeat(segment, self.views)
        rows = (row[:, None] * self.views + offsets).reshape(-1)
        cpu = torch.device("cpu")
        self.lazy: LazyImages | None = None
        self.values = torch.empty(0, self.dimension, dtype=torch.float16)
        if not resident:
            self.lazy = LazyImages(pack.sources, which, rows, cpu)
        elif self.count:
            lazy = LazyImages(pack.sources, which, rows, cpu)
            self.values = lazy[numpy.arange(len(rows))].view(torch.float16).to(device)  # (T * K, D)
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
        return is_small and self.lazy is None and self.device.type == "cpu"

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
        if self.lazy is None:
            values = self.values.index_select(0, self._rows(position, view))
        else:
            index = position.cpu() * self.views + (0 if view is None else view)
            values = to_device(self.lazy[index].view(torch.float16), self.device)
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
