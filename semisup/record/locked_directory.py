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
    """A run directory that this process locks by `acquire` and unlocks by `release`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = RunLock(folder)

    def acquire(self, *inner: str) -> None:
        """Create the run directory and its subdirectories `inner`, and lock it.

        Raises:
            InUseError: another process holds the lock.
            RecordError: the directory cannot be written, or is a link to a folder outside the output root
                (`output_root`).
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
        """Path for writing: it leads to the locked directory even if the directory was moved or replaced."""
        assert self.lock.directory is not None, "the lock is held"
        return self.lock.directory.bound

    def public_path(self, path: str | Path) -> Path:
        """Convert a path that begins with `bound` to the same path that begins with `folder`, for messages."""
        assert self.lock.directory is not None, "the lock is held"
        return self.lock.directory.public_path(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Context manager for writing in the run directory; it checks that this process still holds the lock.

        Every write in the directory must be made in the body of this context manager.

        Raises:
            LockLostError: this process no longer holds the lock.
            OSError: a write failed; the error names the file by its path in `folder`.
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
        """Write a file of the run directory, replacing an existing one.

        Raises:
            LockLostError: this process no longer holds the lock.
            OSError: the file cannot be written.
        """
        with self.writing():
            write_atomically(self.bound / name, content, confirm=self.lock.assert_held)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file of the run directory, replacing an existing one.

        Raises:
            LockLostError: this process no longer holds the lock.
            OSError: the file cannot be written.
        """
        with self.writing():
            write_json(self.bound / name, value, confirm=self.lock.assert_held)
