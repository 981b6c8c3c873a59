"""Print on a terminal, into a file, or into a pipe whose reader may close it early (`| head`)."""

import io
import os
import sys
import warnings
from typing import Any

from rich.console import Console

from semisup.runtime.atomic_files import redirect_to_devnull
from semisup.runtime.text import printable

FILE_COLUMNS = 160  # width where the output is a file or a pipe and COLUMNS is not set


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Print nothing more, and continue: the files are written although the reader has left."""
        self.quiet = True
        redirect_to_devnull(sys.stdout.fileno())


def safe_print(*lines: str) -> None:
    """Print; continue silently if the reader has closed the pipe."""
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        redirect_to_devnull(sys.stdout.fileno())


def terminal(**options: Any) -> Console:
    """Create a rich Console on standard output; `options` are passed to it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ± gets a ?, not a traceback
    console = _Terminal(**options)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = FILE_COLUMNS
    return console


def short_warnings() -> None:
    """Print each warning as one line, without its position in the code."""
    warnings.formatwarning = lambda message, *_: f"semisup: warning: {printable(message, 2000)}\n"
