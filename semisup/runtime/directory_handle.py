"""Keep a directory open, so that files are never written to another directory of the same name.

An example is a directory that is deleted and created again (`rm -rf run; mkdir run`) while a process writes to it. On
Linux, the path `/proc/self/fd/N` of an open directory remains valid if the directory is renamed. If the directory is
deleted, creating a file by this path fails.
"""

import os
from pathlib import Path

from semisup.runtime.descriptors import READ


class DirectoryHandle:
    """An open directory, to which files can be written even after it was renamed.

    Attributes:
        path: path of the directory as the user gave it, for messages and for reading.
        bound: path for writing, which is valid even after the directory was renamed. Without /proc, it is `path`.

    Raises:
        OSError: the directory does not exist or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._absolute = os.path.abspath(path)  # valid even if the working directory changes
        self._descriptor = -1
        if hasattr(os, "O_DIRECTORY"):
            self._descriptor = os.open(path, READ | os.O_DIRECTORY)
            status = os.fstat(self._descriptor)
        else:  # Windows opens no directories
            status = os.stat(path)
        self._identity = status.st_dev, status.st_ino
        bound = Path(f"/proc/self/fd/{self._descriptor}")
        self.bound = bound if bound.is_dir() else path

    def is_current(self) -> bool:
        """Whether the directory with the path `path` is still the one that was opened."""
        try:
            there = os.stat(self._absolute)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == self._identity

    def public_path(self, path: str | Path) -> Path:
        """Convert a path that begins with `bound` to the same path that begins with `path`, for messages.

        Other paths are returned unchanged.
        """
        path = Path(path)
        return self.path / path.relative_to(self.bound) if path.is_relative_to(self.bound) else path

    def close(self) -> None:
        """Close the directory; after that, the path `bound` must not be used."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
