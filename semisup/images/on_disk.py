"""More pixels than are to be resident: they stay where they are, in the cache's file or in the processor's memory.

A step reads its own rows; the next step's are read while it computes. Rows are read and not mapped: a map's pages count
as the process's memory, many around each row, and to give them back costs 24 ms a step where reading costs 0.8
(448 images of 32 x 32, docs/internals/scaling.md).
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


class PackedImages:
    """(n, C, S, S) uint8 images in a file, one after the other from `offset` on. The file may lose its name meanwhile.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], offset: int) -> None:
        self.path, self.shape, self.offset = path, shape, offset
        self.bytes = int(numpy.prod(shape[1:]))
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __len__(self) -> int:
        return self.shape[0]

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Pixels:
        return self[numpy.arange(len(self))]

    def __getitem__(self, rows: Any) -> Pixels:
        """(m, C, S, S), new, of (m,) whole numbers: what follows one another is read at once.

        Raises:
            DataError: the file has become shorter, or cannot be read.
        """
        images = numpy.empty((len(rows), *self.shape[1:]), numpy.uint8)
        position = images.reshape(-1).data
        begins = numpy.flatnonzero(numpy.diff(rows, prepend=-2) != 1).tolist()
        for begin, end in pairwise([*begins, len(rows)]):
            part = position[begin * self.bytes : end * self.bytes]
            at = self.offset + int(rows[begin]) * self.bytes
            while part:
                got = self._read(part, at)
                part, at = part[got:], at + got
        return images

    def _read(self, part: memoryview, at: int) -> int:
        try:
            got = os.preadv(self.descriptor, (part,), at)
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}") from error
        if got == 0:
            raise DataError(f"{self.path}: has become shorter while its pixels were in use")
        return got


class LazyImages:
    """(n, C, S, S) uint8 images, asked by their numbers like a tensor.

    Args:
        sources: (m, C, S, S) each, in files or in memory.
        which, row: (n,) whole numbers, the source of each image and its row there.
        device: where the images that are asked for go.
    """

    def __init__(self, sources: Sequence[PackedImages | Pixels], which: Any, row: Any, device: torch.device) -> None:
        self.sources, self.which, self.row, self.device = sources, which, row, device
        self.shape = torch.Size((len(row), *sources[0].shape[1:]))
        self.reader: ThreadPoolExecutor | None = None
        self.coming: tuple[Any, Future[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self.row)

    def to(self, device: torch.device) -> "LazyImages":
        """The same for another device."""
        return LazyImages(self.sources, self.which, self.row, device)

    def __getitem__(self, index: Any) -> Tensor:
        """(U, C, S, S) for (U,) numbers, (C, S, S) for one, on the device."""
        if isinstance(index, int):
            return self[[index]][0]
        numbers = _numbers(index)
        if self.coming is not None and numpy.array_equal(self.coming[0], numbers):
            images, self.coming = self.coming[1].result(), None
        else:
            images = self._read(numbers)
        return to_device(images, self.device)

    def ahead(self, index: Tensor) -> None:
        """Begin to read what will be asked for next."""
        if self.reader is None:
            self.reader = ThreadPoolExecutor(1, "semisup-reader")
        numbers = _numbers(index)
        self.coming = numbers, self.reader.submit(self._read, numbers)

    def split(self, size: int) -> Iterator[Tensor]:
        """All images in their order, `size` at once."""
        for begin in range(0, len(self), size):
            yield self[numpy.arange(begin, min(begin + size, len(self)))]

    def _read(self, numbers: Any) -> Tensor:
        which, row = self.which[numbers], self.row[numbers]
        if len(self.sources) == 1:
            return torch.from_numpy(self.sources[0][row])
        images = numpy.empty((len(numbers), *self.shape[1:]), numpy.uint8)
        for number, source in enumerate(self.sources):
            own = which == number
            images[own] = source[row[own]]
        return torch.from_numpy(images)


def _numbers(index: Any) -> Any:
    return index.cpu().numpy() if isinstance(index, Tensor) else numpy.asarray(index)
