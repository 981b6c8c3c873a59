"""Show on standard error how long this process will wait for the lock of a run.

On a terminal, one line is updated; elsewhere, a line is written every 30 s.
"""

import sys
import time
from types import TracebackType
from typing import Self

PLAIN_INTERVAL_SECONDS = 30.0


class WaitNotice:
    """Context manager that shows a countdown on standard error; on a terminal, the countdown is erased at the end."""

    def __init__(self) -> None:
        self.width = 0
        self.last_plain = -PLAIN_INTERVAL_SECONDS

    def __enter__(self) -> Self:
        return self

    def show(self, message: str, seconds: float) -> None:
        """Show `message` and the maximum number of seconds that are left."""
        text = f"{message}; waiting up to {max(seconds, 0):.0f} s for its heartbeat"
        if sys.stderr.isatty():
            sys.stderr.write("\r" + text.ljust(self.width))
            self.width = len(text)
        elif time.monotonic() - self.last_plain >= PLAIN_INTERVAL_SECONDS:
            self.last_plain = time.monotonic()
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.width:
            sys.stderr.write("\r" + " " * self.width + "\r")
            sys.stderr.flush()
