"""Read the images of each training step from a file or from CPU memory, if the device has too little memory.

The images of the next step are read while the present step is computed.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.errors import DataError
from semisup.images.decode import Pixels
from semisup.runtime.descriptors import READ, read_into


class PackedImages:
    """Images in a file: (n, C, S, S) uint8, stored one after another from the byte `offset` on.

    The file is opened once, so it may be deleted while the images are used.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], offset: int) -> None:
        self.path, self.shape, self.offset = path, shape, offset
        self.bytes = int(numpy.prod(shape[1:]))
        self.descriptor = os.open(path, READ)

    def __len__(self) -> int:
        return self.shape[0]

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Pixels:
        return self[numpy.arange(len(self))]

    def __getitem__(self, rows: Any) -> Pixels:
        """Read the images at the positions `rows`, (m,), into a new array (m, C, S, S).

        Raises:
            DataError: the file has become shorter, or cannot be read.
        """
        # preadv, not a memory map: the pages of a map would count as memory of the process, and to release them takes
        # 24 ms per step (448 images of 32 x 32; reading takes 0.8 ms; docs/internals/scaling.md)
        images = numpy.empty((len(rows), *self.shape[1:]), numpy.uint8)
        buffer = images.reshape(-1).data
        begins = numpy.flatnonzero(numpy.diff(rows, prepend=-2) != 1).tolist()
        for begin, end in pairwise([*begins, len(rows)]):
            part = buffer[begin * self.bytes : end * self.bytes]
            offset = self.offset + int(rows[begin]) * self.bytes
            while part:
                count = self._read(part, offset)
                part, offset = part[count:], offset + count
        return images

    def _read(self, part: memoryview, offset: int) -> int:
        try:
            count = read_into(self.descriptor, part, offset)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error
        if count == 0:
            raise DataError(f"{self.path}: was truncated by another program during the run; run the same command again")
        return count


class LazyImages:
    """Images, (n, C, S, S) uint8, that are read when they are indexed, like a tensor.

    Args:
        sources: arrays of images, (m, C, S, S) each, in files or in memory.
        which: (n,) integers, for each image the index in `sources` of the array that contains it.
        row: (n,) integers, for each image its row in this array.
        device: device to which the images are moved when they are indexed.
    """

    def __init__(self, sources: Sequence[PackedImages | Pixels], which: Any, row: Any, device: torch.device) -> None:
        self.sources, self.which, self.row, self.device = sources, which, row, device
        self.shape = torch.Size((len(row), *sources[0].shape[1:]))
        self.reader: ThreadPoolExecutor | None = None
        self.prefetched: tuple[Any, Future[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.row)

    def to(self, device: torch.device) -> "LazyImages":
        """Return a copy of this object with another device; no image is read."""
        return LazyImages(self.sources, self.which, self.row, device)

    def __getitem__(self, index: Any) -> Tensor:
        """Read images and move them to the device: (U, C, S, S) for (U,) integers, (C, S, S) for a single integer."""
        if isinstance(index, int):
            return self[[index]][0]
        numbers = _as_array(index)
        if self.prefetched is not None and numpy.array_equal(self.prefetched[0], numbers):
            images, self.prefetched = self.prefetched[1].result(), None
        else:
            images = self._read(numbers)
        return to_device(images, self.device)

    def ahead(self, index: Tensor) -> None:
        """Start to read in a thread the images at `index`, which the next training step will need."""
        if self.reader is None:
            self.reader = ThreadPoolExecutor(1, "semisup-reader")
        numbers = _as_array(index)
        self.prefetched = numbers, self.reader.submit(self._read, numbers)

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield all images in order, `size` at a time."""
        for begin in range(0, len(self), size):
            yield self[numpy.arange(begin, min(begin + size, len(self)))]

    def _read(self, numbers: Any) -> Tensor:
        which, row = self.which[numbers], self.row[numbers]
        if len(self.sources) == 1:
            return torch.from_numpy(self.sources[0][row])
        images = numpy.empty((len(numbers), *self.shape[1:]), numpy.uint8)
        for number in numpy.unique(which):
            own = which == number
            images[own] = self.sources[number][row[own]]
        return torch.from_numpy(images)


def concatenate(parts: Sequence[Tensor | LazyImages]) -> Tensor | LazyImages:
    """Concatenate images on the CPU: as a tensor if all parts are tensors, else as `LazyImages`."""
    if all(isinstance(part, Tensor) for part in parts):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    sources: list[PackedImages | Pixels] = []
    which, row = [], []
    for part in parts:
        images = part if isinstance(part, LazyImages) else _in_memory(part)
        which.append(images.which.astype(numpy.int64) + len(sources))
        row.append(images.row)
        sources += images.sources
    numbers = numpy.concatenate(which).astype(numpy.uint8 if len(sources) < 256 else numpy.int64)
    return LazyImages(sources, numbers, numpy.concatenate(row), torch.device("cpu"))


def _in_memory(pixels: Tensor) -> LazyImages:
    count = len(pixels)
    return LazyImages([pixels.numpy()], numpy.zeros(count, numpy.uint8), numpy.arange(count), torch.device("cpu"))


def _as_array(index: Any) -> Any:
    return index.cpu().numpy() if isinstance(index, Tensor) else numpy.asarray(index)
