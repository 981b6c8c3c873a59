"""Table of the features of a run's images, in the memory of the device or read from files."""

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.features.store import FeaturePack
from semisup.images.on_disk import LazyImages


class FeatureTable:
    """The features of T images: D features for each of K views, (T, K, D).

    Args:
        pack: pack that contains the features of all these images.
        digests: digests of the T images.
        device: device to which features are moved.
        resident: True = keep all features in the memory of the device; False = read them from files when needed.
    """

    def __init__(self, pack: FeaturePack, digests: Sequence[bytes], device: torch.device, *, resident: bool) -> None:
        self.views, self.dimension = pack.shape
        self.device, self.count = device, len(digests)
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

    def gather(self, position: Tensor, view: Tensor | None = None) -> Tensor:
        """Return the features of some images, as images with D channels and one pixel.

        Args:
            position: (U,) int64 in [0, T), row numbers of the images in the table.
            view: (U,) int64 in [0, K) on the CPU; None = view 0.

        Returns:
            (U, D, 1, 1) float32 on the device.
        """
        if self.lazy is None:
            position = to_device(position, self.device)
            index = position * self.views + (0 if view is None else to_device(view, self.device))
            values = self.values.index_select(0, index)
        else:
            index = position.cpu() * self.views + (0 if view is None else view)
            values = to_device(self.lazy[index].view(torch.float16), self.device)
        return values.float()[:, :, None, None]
