"""Show a text below the cell of a notebook and replace it while the cell runs.

A notebook is no terminal: text that moves the cursor cannot be shown there. IPython, in which every notebook runs,
replaces an output that has an id.
"""

import time
from typing import Any

INTERVAL_SECONDS = 0.2
"""Smallest time between two updates; each of them is a message to the browser."""


class NotebookOutput:
    """Output of a cell that `show` replaces."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last = 0.0

    def is_due(self) -> bool:
        """Whether the last update is long enough ago for another one."""
        return time.monotonic() - self._last >= INTERVAL_SECONDS

    def show(self, text: str) -> None:
        """Replace the output by a text."""
        from IPython.display import display

        self._last = time.monotonic()
        content = {"text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def clear(self) -> None:
        """Replace the output by an empty text, if there is one."""
        if self._handle is not None:
            self.show("")
