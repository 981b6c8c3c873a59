"""Print each warning once, as one line without file name and source line.

A sweep has a folder with an empty file for each printed warning, so that its processes do not repeat warnings.
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from semisup.runtime.atomic_files import make_folder
from semisup.runtime.exclusive_files import create_exclusive
from semisup.text import printable

SHARED = "SEMISUP_PRINTED_WARNINGS"
"""Environment variable with the folder in which the processes of a sweep record the printed warnings."""

_printed: set[str] = set()
"""Digests of the warnings that this process has printed."""


def short_warnings(printed: Iterable[str] = ()) -> None:
    """Make Python print each warning once, as `semisup: warning: ...`.

    Outside of a sweep, warnings that were printed before this call can be printed again.

    Args:
        printed: digests of the warnings that the parent process has printed.
    """
    if SHARED not in os.environ:
        _printed.clear()
    _printed.update(printed)
    warnings.formatwarning = lambda message, *_: f"semisup: warning: {printable(message, 2000)}\n"
    warnings.showwarning = _show


def printed_warnings() -> list[str]:
    """List the digests of the warnings that this process has printed."""
    return sorted(_printed)


def share_printed(folder: Path) -> None:
    """Record printed warnings in a folder from now on, also in child processes, so that no warning is repeated.

    Args:
        folder: the folder; it is created if missing. If this fails, each process prints its own warnings.
    """
    try:
        make_folder(folder)
        for digest in _printed:
            create_exclusive(folder / digest, b"")
    except OSError:
        return
    os.environ[SHARED] = str(folder.resolve())


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    text = warnings.formatwarning(message, category, filename, lineno, line)
    stream: Any = file or sys.stderr
    if stream is not None and _is_new(text):
        stream.write(text)


def _is_new(text: str) -> bool:
    """Record that a warning is printed; return False if this process or another one of the sweep has printed it."""
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    if digest in _printed:
        return False
    _printed.add(digest)
    try:
        return SHARED not in os.environ or create_exclusive(Path(os.environ[SHARED]) / digest, b"")
    except OSError:
        return True
