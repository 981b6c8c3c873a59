"""Pixels in a file, block by block: a checksum of each finds what was damaged, and threads read several at once.

CRC-32, which finds every damaged bit of a block and misses one in 4 billion of what is worse: twice as fast as the
fastest digest that hashlib has, and the checksums themselves are under such a digest (cache.py).
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

BLOCK = 2**22
"""Bytes of a block: all have so many but the last."""

MAX_THREADS = 8


class BlockChecksums:
    """The checksums of what is added, chunk by chunk."""

    def __init__(self) -> None:
        self.whole: list[int] = []
        self.sum, self.bytes = 0, 0

    def add(self, chunk: memoryview) -> None:
        while len(chunk):
            part = chunk[: BLOCK - self.bytes]
            self.sum, self.bytes = zlib.crc32(part, self.sum), self.bytes + len(part)
            chunk = chunk[len(part) :]
            if self.bytes == BLOCK:
                self.whole.append(self.sum)
                self.sum, self.bytes = 0, 0

    def all(self) -> list[int]:
        """Of every block, the last one that is not full included."""
        return self.whole + ([self.sum] if self.bytes else [])


def checksum_blocks(content: memoryview) -> list[int]:
    """The checksums of all of it."""
    return list(_by_threads(zlib.crc32, [content[begin:end] for begin, end in _ends(len(content))]))


def verify_blocks(descriptor: int, offset: int, length: int, sums: Sequence[int], into: memoryview | None) -> bool:
    """Whether `length` bytes of a file, from `offset` on, are those of these checksums.

    Args:
        into: as many bytes, where they are put; None: they are only looked at.

    Raises:
        OSError: it cannot be read.
    """
    blocks = list(_ends(length))
    if len(blocks) != len(sums):
        return False

    def right(number: int) -> bool:
        begin, end = blocks[number]
        position = memoryview(bytearray(end - begin)) if into is None else into[begin:end]
        return _filled(descriptor, offset + begin, position) and zlib.crc32(position) == sums[number]

    return all(_by_threads(right, range(len(blocks))))


def _filled(descriptor: int, at: int, position: memoryview) -> bool:
    while len(position):
        got = os.preadv(descriptor, (position,), at)
        if got == 0:
            return False
        position, at = position[got:], at + got
    return True


def _ends(length: int) -> Iterator[tuple[int, int]]:
    return ((begin, min(begin + BLOCK, length)) for begin in range(0, length, BLOCK))


def _by_threads(act: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Reading and summing leave Python's lock, so that every core can do some."""
    threads = min(_cores(), len(items), MAX_THREADS)
    if threads < 2:
        yield from map(act, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(act, items)


def _cores() -> int:
    """That this process may use, where the system says it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
