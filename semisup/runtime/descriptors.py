"""Read and write open files by their descriptor, also on Windows and older macOS, which lack `os.pread` or `os.preadv`.

On such systems, these functions are replaced by a seek followed by a read or a write, in one thread at a time.
"""

import os
import threading

READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags of `os.open` for reading bytes."""

WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags of `os.open` for writing bytes to a new file."""

UPDATE = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags of `os.open` for reading bytes and overwriting them in place."""

NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
"""Additional flags for a path that may be a pipe or a terminal, so that opening it does not wait."""

_seek = threading.Lock()


def read_at(descriptor: int, count: int, position: int) -> bytes:
    """Read at most `count` bytes from a position of an open file; fewer at its end."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, position)
    with _seek:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.read(descriptor, count)


def read_into(descriptor: int, buffer: memoryview, position: int) -> int:
    """Read bytes from a position of an open file into a buffer; return their number, 0 at the end of the file."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, (buffer,), position)
    data = read_at(descriptor, len(buffer), position)
    buffer[: len(data)] = data
    return len(data)


def write_at(descriptor: int, data: bytes, position: int) -> None:
    """Overwrite the bytes of an open file that begin at `position` with `data`."""
    if hasattr(os, "pwrite"):
        os.pwrite(descriptor, data, position)
        return
    with _seek:
        os.lseek(descriptor, position, os.SEEK_SET)
        os.write(descriptor, data)
