"""Compute and verify a CRC-32 checksum for each block of the pixels in a file, in several threads."""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from semisup.runtime.descriptors import read_into

T = TypeVar("T")
R = TypeVar("R")

BLOCK = 2**22
"""Number of bytes of every block except the last, which can be smaller."""

MAX_THREADS = 8


class BlockChecksums:
    """CRC-32 checksums of consecutive blocks of BLOCK bytes; the data are added in chunks of any size."""

    def __init__(self) -> None:
        self.full: list[int] = []
        self.sum, self.bytes = 0, 0

    def add(self, chunk: memoryview) -> None:
        """Add the next bytes of the data."""
        while len(chunk):
            part = chunk[: BLOCK - self.bytes]
            self.sum, self.bytes = zlib.crc32(part, self.sum), self.bytes + len(part)
            chunk = chunk[len(part) :]
            if self.bytes == BLOCK:
                self.full.append(self.sum)
                self.sum, self.bytes = 0, 0

    def all(self) -> list[int]:
        """Return the checksums of all blocks added so far, including an incomplete last block."""
        return self.full + ([self.sum] if self.bytes else [])


def checksum_blocks(content: memoryview) -> list[int]:
    """Compute the checksum of every block of `content`."""
    return list(_in_threads(zlib.crc32, [content[begin:end] for begin, end in _blocks(len(content))]))


def verify_blocks(descriptor: int, offset: int, length: int, sums: Sequence[int], into: memoryview | None) -> bool:
    """Whether the `length` bytes of a file from `offset` on have the block checksums `sums`.

    Args:
        descriptor: file descriptor of the open file.
        into: buffer of `length` bytes for the bytes that are read; None = only verify them.

    Raises:
        OSError: the file cannot be read.
    """
    blocks = list(_blocks(length))
    if len(blocks) != len(sums):
        return False

    def is_intact(number: int) -> bool:
        begin, end = blocks[number]
        buffer = memoryview(bytearray(end - begin)) if into is None else into[begin:end]
        return _fill(descriptor, offset + begin, buffer) and zlib.crc32(buffer) == sums[number]

    return all(_in_threads(is_intact, range(len(blocks))))


def _fill(descriptor: int, offset: int, buffer: memoryview) -> bool:
    """Fill the buffer from a file, starting at `offset`; return False if the file ends before the buffer is full."""
    while len(buffer):
        count = read_into(descriptor, buffer, offset)
        if count == 0:
            return False
        buffer, offset = buffer[count:], offset + count
    return True


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end positions of each block of `length` bytes."""
    return ((begin, min(begin + BLOCK, length)) for begin in range(0, length, BLOCK))


def _in_threads(act: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Call `act` for each item in several threads, and yield the results in the order of the items."""
    threads = min(_available_cores(), len(items), MAX_THREADS)
    if threads < 2:
        yield from map(act, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(act, items)


def _available_cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
