"""Print to standard output, without an error if it is a pipe that was closed early, as by `| head`."""

import io
import os
import sys
from typing import Any

from rich.console import Console

from semisup.runtime.devnull import redirect_to_devnull

FILE_COLUMNS = 160  # width where the output is a file or a pipe and COLUMNS is not set


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Print nothing more after the pipe was closed, but let the command continue."""
        self.quiet = True
        redirect_to_devnull(sys.stdout.fileno())


def safe_print(*lines: str) -> None:
    """Print lines to standard output; if it is a closed pipe, raise no error."""
    try:
        print(*lines, sep="\n", flush=True)
    except BrokenPipeError:
        redirect_to_devnull(sys.stdout.fileno())


def terminal(**options: Any) -> Console:
    """Create a rich Console on standard output; `options` are arguments of `Console`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ± gets a ?, not a traceback
    console = _Terminal(**options)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = FILE_COLUMNS
    return console
