"""Lock a run directory and write its files through an open handle of the directory."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from semisup.errors import RecordError
from semisup.record import write_json
from semisup.record.lock import RunLock
from semisup.runtime.atomic_files import make_folder, write_atomically


class LockedDirectory:
    """A run directory, which this process locks from `acquire` to `release`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = RunLock(folder)

    def acquire(self, *inner: str) -> None:
        """Create the directory and its subdirectories `inner`, and lock the directory.

        Raises:
            InUseError: another process holds the lock.
            RecordError: the directory cannot be written, or is a link that leads out of the output root.
        """
        root = self.folder.parent.parent
        if not self.folder.resolve().is_relative_to(root.resolve()):
            raise RecordError(f"{self.folder}: is a link to a folder outside {root}; set output_root to that folder")
        try:
            for name in inner:
                make_folder(self.folder / name)
            self.lock.acquire()
        except OSError as error:
            raise RecordError(f"{self.folder}: cannot be written ({error.strerror})") from None

    def release(self) -> None:
        """Release the lock of the run directory."""
        self.lock.release()

    @property
    def bound(self) -> Path:
        """Path for writing that leads to the locked directory, even if the directory was moved or replaced."""
        assert self.lock.directory is not None, "the lock is held"
        return self.lock.directory.bound

    def public_path(self, path: str | Path) -> Path:
        """Convert a path through the open handle of the directory to the path that the user typed."""
        assert self.lock.directory is not None, "the lock is held"
        return self.lock.directory.public_path(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Context for a write in the run directory: check first that this process still holds the lock.

        Every write in the directory must be made in this context. Errors name the path of the directory as the user
        typed it, not the path through the open handle.

        Raises:
            LockLostError: this process no longer holds the lock.
            OSError: raised in the context; its path is the one that the user knows.
        """
        self.lock.assert_held()
        try:
            yield
        except OSError as error:
            self.lock.assert_held()
            if not error.filename:
                raise
            path = self.public_path(os.fsdecode(error.filename))
            raise OSError(error.errno, error.strerror, str(path)) from None

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the run directory, replacing an existing one; raises the errors of `writing`."""
        with self.writing():
            write_atomically(self.bound / name, content, confirm=self.lock.assert_held)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file of the run directory, replacing an existing one.

        The errors are those of `writing`.
        """
        with self.writing():
            write_json(self.bound / name, value, confirm=self.lock.assert_held)
