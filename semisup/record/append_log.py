"""Log files to which only whole lines are appended.

A checkpoint records the number of lines of each file; resuming from a checkpoint deletes all later lines. Lines are
counted instead of bytes: lines hold timings, whose digits differ from run to run, but equal states must give equal
checkpoints.
"""

import contextlib
import os
from pathlib import Path
from typing import IO

from semisup.errors import RecordError
from semisup.runtime.atomic_files import AtomicFile, with_path, write_atomically
from semisup.text import escape_line


class AppendLog:
    """A log file to which whole lines are appended.

    The file is opened once, at the first line, and then written through its descriptor. If a process has lost its run
    to another one, it continues to append to the old file, which no process reads: `truncate` and `overwrite` of the
    new lock holder have replaced it by a new file.

    Args:
        path: path that the file is written to.
        public_path: path of the file in messages; None = `path`.
    """

    def __init__(self, path: Path, public_path: Path | None = None) -> None:
        self.path = path
        self.public_path = public_path or path
        self.lines = 0
        self._file: IO[bytes] | None = None

    def append(self, text: str) -> None:
        """Append `text`, which must end with a newline.

        Raises:
            OSError: the log cannot be written, for example because the disk is full; metrics must not be lost silently.
        """
        data = escape_line(text).encode()
        try:
            if self._file is None:
                self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  # closed by `close`
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise with_path(error, self.public_path, len(data)) from None
        self.lines += text.count("\n")

    def sync(self) -> int:
        """Flush the log to disk and return its number of lines.

        The lines survive a power loss once the directory is synced, too.
        """
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise with_path(error, self.public_path, 0) from None
        return self.lines

    def truncate(self, lines: int) -> None:
        """Delete all lines after the first `lines` lines, by replacing the file; 0 deletes the file.

        Raises:
            RecordError: the file has fewer complete lines, because another program has changed it.
            OSError: the log cannot be written, for example because the disk is full.
        """
        self.close()
        if lines == 0:
            self.path.unlink(missing_ok=True)
            self.lines = 0
            return
        count = 0
        with AtomicFile(self.path.parent) as new:
            with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as old:
                for line in old:
                    if count == lines or not line.endswith(b"\n"):
                        break
                    new.write(line)
                    count += 1
            if count == lines:  # after closing the old file, because Windows replaces no open file
                new.commit(self.path)
        if count < lines:
            raise RecordError(
                f"{self.public_path}: has {count} complete lines, but its checkpoint was saved after line {lines}; "
                "delete the run directory to start again"
            )
        self.lines = lines

    def overwrite(self, text: str | None) -> None:
        """Replace the content of the file by `text`, atomically; None deletes the file."""
        if not text:
            self.truncate(0)
            return
        self.close()
        write_atomically(self.path, escape_line(text).encode())
        self.lines = text.count("\n")

    def close(self) -> None:
        """Close the file; `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
