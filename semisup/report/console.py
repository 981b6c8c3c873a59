"""What a user reads on a terminal, in a file, or in a pipe whose reader may leave early (`| head`)."""

import io
import os
import sys
import warnings
from typing import Any

from rich.console import Console

from semisup.runtime.atomic_files import redirect_to_devnull
from semisup.runtime.text import printable

FILE_COLUMNS = 160  # where the output is a file or a pipe, and nobody said how wide it is


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Say no more, and do the rest of the work: who wanted the first lines alone wants the files all the same."""
        self.quiet = True
        redirect_to_devnull(sys.stdout.fileno())


def safe_print(*lines: str) -> None:
    """Print; where the reader has left, the work goes on all the same."""
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        redirect_to_devnull(sys.stdout.fileno())


def terminal(**options: Any) -> Console:
    """Rich's console on this process's standard output; `options` are its own."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ± gets a ?, not a traceback
    console = _Terminal(**options)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = FILE_COLUMNS
    return console


def short_warnings() -> None:
    """Warnings as one line each: a user wants to read what, not where in our code."""
    warnings.formatwarning = lambda message, *_: f"semisup: warning: {printable(message, 2000)}\n"
