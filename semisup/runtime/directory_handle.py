"""Hold a directory open, so that writes go to that directory and never to another one of the same name.

A path is looked up again at every call: after `rm -rf run; mkdir run`, a process that writes by path continues in the
new directory. On Linux, `/proc/self/fd/N` names the directory behind a descriptor whatever becomes of its name. Once
the directory is deleted, creating a file through it fails with ENOENT.
"""

import os
from pathlib import Path


class DirectoryHandle:
    """An open directory.

    Attributes:
        path: the directory as the user names it; for messages and for reading.
        bound: a path to the same directory that does not depend on its name; for writing. Equal to `path` where the
            system has no /proc; there, only `is_current` detects a replaced directory.

    Raises:
        OSError: the directory does not exist or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._absolute = os.path.abspath(path)  # still the same place if the working directory changes
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        bound = Path(f"/proc/self/fd/{self._descriptor}")
        self.bound = bound if bound.is_dir() else path

    def is_current(self) -> bool:
        """Whether `path` still names this directory."""
        try:
            here, there = os.fstat(self._descriptor), os.stat(self._absolute)
        except OSError:
            return False
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)

    def public_path(self, path: str | Path) -> Path:
        """`path` as the user names it, if it lies in this directory by its bound name."""
        path = Path(path)
        return self.path / path.relative_to(self.bound) if path.is_relative_to(self.bound) else path

    def close(self) -> None:
        """Close the descriptor; `bound` is invalid from here on."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
