"""Show a text below a notebook cell, and replace it while the cell runs."""

import time
from typing import Any

INTERVAL_SECONDS = 0.2
"""Smallest time between two updates of the text."""


class NotebookOutput:
    """Text below a notebook cell; each call of `show` replaces it."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last = 0.0

    def is_due(self) -> bool:
        """Whether at least INTERVAL_SECONDS have passed since the last update."""
        return time.monotonic() - self._last >= INTERVAL_SECONDS

    def show(self, text: str) -> None:
        """Show a text in place of the previous one."""
        from IPython.display import display

        self._last = time.monotonic()
        content = {"text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def clear(self) -> None:
        """Remove the text, if one is shown."""
        if self._handle is not None:
            self.show("")
