"""Text files that grow by whole lines. A checkpoint records how many lines there were; resuming drops later ones.

Lines are counted, not bytes: a line holds timings, whose digits differ from run to run, and equal states must give
equal checkpoints.
"""

import contextlib
import os
from pathlib import Path
from typing import IO

from semisup.errors import RecordError
from semisup.runtime.atomic_files import AtomicFile, with_path, write_atomically


def escape_line(text: str) -> str:
    """Encode what is not Unicode with backslashes: file names on Linux are arbitrary bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


class AppendLog:
    """A file that whole lines are appended to.

    It is opened once, at the first line: a process that lost its run appends to its own inode, which nobody reads
    after `truncate` or `overwrite` of the new lock holder has replaced the file.

    Args:
        path: where it is written.
        public_path: how messages name it, if that differs.
    """

    def __init__(self, path: Path, public_path: Path | None = None) -> None:
        self.path = path
        self.public_path = public_path or path
        self.lines = 0
        self._file: IO[bytes] | None = None

    def append(self, text: str) -> None:
        """Append `text`, which ends with a newline.

        Raises:
            OSError: disk full, EIO, ...: metrics may not be lost silently.
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
        """Flush the lines to disk and count them; they are durable once the directory is synced, too."""
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise with_path(error, self.public_path, 0) from None
        return self.lines

    def truncate(self, lines: int) -> None:
        """Keep the first `lines` lines, in a new file.

        Raises:
            RecordError: there are fewer: another program has changed the file.
            OSError: disk full, EIO, ...
        """
        self.close()
        if lines == 0:
            self.path.unlink(missing_ok=True)
            self.lines = 0
            return
        count = 0
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as old, AtomicFile(self.path.parent) as new:
            for line in old:
                if count == lines or not line.endswith(b"\n"):
                    break
                new.write(line)
                count += 1
            if count == lines:
                new.commit(self.path)
        if count < lines:
            raise RecordError(
                f"{self.public_path}: has {count} whole lines, and its checkpoint says {lines}; "
                "delete the run directory to start again"
            )
        self.lines = lines

    def overwrite(self, text: str | None) -> None:
        """Replace all lines by `text` in one step, None = no file."""
        if not text:
            self.truncate(0)
            return
        self.close()
        write_atomically(self.path, escape_line(text).encode())
        self.lines = text.count("\n")

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
