"""Log files to which whole lines are appended.

A checkpoint of a run contains the number of lines of each log. A run that resumes from the checkpoint deletes the lines
that were written after it.
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

    Args:
        path: path by which the file is opened, such as /proc/self/fd/3/metrics.jsonl (see `DirectoryHandle`).
        public_path: path of the file in messages; None = `path`.
    """

    def __init__(self, path: Path, public_path: Path | None = None) -> None:
        self.path = path
        self.public_path = public_path or path
        # lines, not bytes: lines hold timings, whose digits differ from run to run, but equal states must give equal
        # checkpoints
        self.lines = 0
        # opened once: a process that lost its run appends to the old file, which no process reads, because `truncate`
        # and `overwrite` of the new lock holder replace the file
        self._file: IO[bytes] | None = None

    def append(self, text: str) -> None:
        """Append `text`, which must end with a newline.

        Raises:
            OSError: the log cannot be written, for example because the disk is full.
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

        The caller must also flush the directory; otherwise a new file may be lost in a power loss.
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
            RecordError: the file has fewer than `lines` complete lines.
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
