"""Read images from rows of Parquet files, a few rows at a time.

The rows of a Parquet file are stored in groups, which can only be read from their beginning. A group of at most
MAX_GROUP_BYTES is kept in memory, so that its rows can be read in any order. Of a larger group, a few rows are in
memory at a time, so its rows should be read in order.
"""

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pyarrow
from pyarrow import parquet

from semisup.images.archive_members import ParquetCell
from semisup.images.decode import BadImageError

MAX_GROUP_BYTES = 2**26
"""Largest size of a group of rows, in bytes, that is kept in memory as a whole."""

MAX_GROUPS = 2
_STREAM_ROWS, _BUFFER_BYTES = 8, 2**20

pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # the others reserve gigabytes of address space

_lock = threading.Lock()
_open: OrderedDict[tuple[str, int, int, str], "_Column"] = OrderedDict()


def read_cell(file: ParquetCell, limit: int) -> bytes:
    """Read the bytes of one image from its row in a Parquet file.

    Args:
        limit: largest allowed size of the image in bytes.

    Raises:
        BadImageError: the file was replaced since the scan or has no bytes in this row ("unreadable"), the image has
            more than `limit` bytes ("too large"), or the file is damaged ("corrupt").
        MemoryError: memory ran out.
    """
    key = file.path, file.mtime_ns, file.archive_bytes, file.column
    with _lock:
        try:
            if key not in _open:
                _open.clear()
                _open[key] = _Column(file)
            value = _open[key].value(file.position)
            if not value.is_valid:
                raise BadImageError("unreadable")
            buffer = value.as_buffer()
            if buffer.size > limit:
                raise BadImageError("too large")
            return bytes(buffer.to_pybytes())
        except (BadImageError, MemoryError):
            raise
        except FileNotFoundError as error:
            raise BadImageError("unreadable") from error
        except (pyarrow.ArrowException, OSError, ValueError, IndexError) as error:
            _open.clear()
            raise BadImageError("corrupt") from error


class _Column:
    """The column with the bytes of the images in an open Parquet file."""

    def __init__(self, file: ParquetCell) -> None:
        status = os.stat(file.path)
        if (status.st_size, status.st_mtime_ns, status.st_ino) != (file.archive_bytes, file.mtime_ns, file.inode):
            raise BadImageError("unreadable")
        self.file = parquet.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        self.column = file.column
        metadata = self.file.metadata
        self.ends = list(accumulate(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)))
        self.groups: OrderedDict[int, Any] = OrderedDict()
        self.large: set[int] = set()
        self.streamed: tuple[int, int, Any, Iterator[Any]] | None = None

    def value(self, row: int) -> Any:
        group = bisect_right(self.ends, row)
        first = self.ends[group - 1] if group else 0
        if group not in self.groups and group not in self.large:
            while len(self.groups) >= MAX_GROUPS:
                self.groups.popitem(last=False)
            if (values := self._whole(group)) is None:
                self.large.add(group)
            else:
                self.groups[group] = values
        if group in self.large:
            return self._streamed_value(group, row - first)
        return self.groups[group][row - first]

    def _whole(self, group: int) -> Any:
        """Read all values of a row group; None if they have more than MAX_GROUP_BYTES."""
        if self._bytes(group) > MAX_GROUP_BYTES:
            return None
        batches, size = [], 0
        for values in self._batches(group):
            size += values.nbytes
            if size > MAX_GROUP_BYTES:
                return None
            batches.append(values)
        return pyarrow.concat_arrays(batches) if batches else []

    def _batches(self, group: int) -> Iterator[Any]:
        # a cell that is stored once can fill many rows: a group of 1 MB can expand to terabytes. A batch stays below
        # the limit even if each of its rows has all bytes of the group
        rows = min(_STREAM_ROWS, max(1, MAX_GROUP_BYTES // max(1, self._bytes(group))))
        batches = self.file.iter_batches(rows, row_groups=[group], columns=[self.column], use_threads=False)
        return (_bytes_of(batch.column(0)) for batch in batches)

    def _bytes(self, group: int) -> int:
        """Return the uncompressed size in bytes of the images of a row group, as stated in the file."""
        row_group = self.file.metadata.row_group(group)
        columns = map(row_group.column, range(row_group.num_columns))
        return sum(each.total_uncompressed_size for each in columns if each.path_in_schema == self.column)

    def _streamed_value(self, group: int, row: int) -> Any:
        """Return the value in a row of a large row group; reading rows in ascending order is fast."""
        if self.streamed is None or self.streamed[0] != group or row < self.streamed[1]:
            self.streamed = group, 0, [], self._batches(group)
        _, start, values, batches = self.streamed
        while row >= start + len(values):
            start += len(values)
            if (values := next(batches, None)) is None:
                self.streamed = None
                raise BadImageError("unreadable")  # the group has fewer rows than the file declares
            self.streamed = group, start, values, batches
        return values[row - start]


def _bytes_of(values: Any) -> Any:
    return values.field("bytes") if pyarrow.types.is_struct(values.type) else values
