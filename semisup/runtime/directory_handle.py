"""Keep a directory open, so that files are never written to another directory of the same name.

A path is looked up again at every call: after `rm -rf run; mkdir run`, a process that writes by path continues in the
new directory. On Linux, `/proc/self/fd/N` leads to the directory of an open descriptor, even if the directory has been
renamed. Once the directory is deleted, creating a file through this path fails with ENOENT.
"""

import os
from pathlib import Path

from semisup.runtime.descriptors import READ


class DirectoryHandle:
    """An open directory, to which files can be written even after it was renamed.

    Attributes:
        path: path of the directory as the user gave it, for messages and for reading.
        bound: path for writing, which leads to the same directory whatever its name is. Without /proc it is equal to
            `path`; then only `is_current` detects that the directory was replaced.

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
        """Whether `path` still leads to the directory that was opened."""
        try:
            there = os.stat(self._absolute)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == self._identity

    def public_path(self, path: str | Path) -> Path:
        """Convert a path inside the directory from the internal form (`bound`) to the user's form (`path`).

        Other paths are returned unchanged.
        """
        path = Path(path)
        return self.path / path.relative_to(self.bound) if path.is_relative_to(self.bound) else path

    def close(self) -> None:
        """Close the directory; afterwards the path `bound` is invalid."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
