"""Files that grow by whole lines. A checkpoint notes how many there were; resuming cuts off what came after it.

Lines and not bytes: a line holds times, whose digits differ from run to run, and a checkpoint must not.
"""

import os
from pathlib import Path

from semisup.errors import RecordError
from semisup.runtime.atomic_files import with_path, write_atomically


def escape_line(text: str) -> str:
    """What is read back: names of files need not be Unicode, and what is not is written with backslashes."""
    return text.encode("utf-8", "backslashreplace").decode()


class AppendLog:
    """Appends whole lines to one file. Counts them from the last `cut` on: a log begins with that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0

    def append(self, text: str) -> None:
        """Write `text`, which ends with a newline, at the end.

        Raises:
            OSError: the disk is full, and so on: the truth may not be lost silently.
        """
        data = escape_line(text).encode()
        try:
            with open(self.path, "ab") as file:
                file.write(data)
        except OSError as error:
            raise with_path(error, self.path, len(data)) from None
        self.lines += text.count("\n")

    def committed(self) -> int:
        """Lines on disk for good, once the folder is synced: everything so far is flushed to it."""
        if self.path.exists():
            try:
                with open(self.path, "rb") as file:
                    os.fsync(file.fileno())
            except OSError as error:
                raise with_path(error, self.path, 0) from None
        return self.lines

    def cut(self, lines: int) -> None:
        """Drop what is beyond so many lines.

        Raises:
            RecordError: the file has fewer: something else has changed it.
        """
        found, length = self._first(lines)
        if found < lines:
            raise RecordError(
                f"{self.path}: has {found} whole lines, and its checkpoint says {lines}; delete the run's folder"
            )
        if lines == 0:
            self.path.unlink(missing_ok=True)
        else:
            os.truncate(self.path, length)
        self.lines = lines

    def replace(self, text: str | None) -> None:
        """Hold these lines instead, None = no file; a process that dies in here leaves the old ones or these."""
        if not text:
            self.cut(0)
            return
        write_atomically(self.path, escape_line(text).encode())
        self.lines = text.count("\n")

    def _first(self, lines: int) -> tuple[int, int]:
        """How many of the first `lines` whole lines there are, and how many bytes they take."""
        found = length = 0
        if lines and self.path.exists():
            with open(self.path, "rb") as file:
                for line in file:
                    if found == lines or not line.endswith(b"\n"):
                        break
                    found, length = found + 1, length + len(line)
        return found, length
