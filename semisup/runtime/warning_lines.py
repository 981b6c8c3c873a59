"""Print each warning once, as one line of the program, without file name and source line.

The processes of a sweep share the record of the printed warnings: a folder with one empty file for each warning.
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from semisup.runtime.atomic_files import create_exclusive, make_folder
from semisup.text import printable

SHARED = "SEMISUP_PRINTED_WARNINGS"
"""Environment variable with the folder in which the processes of a sweep record the printed warnings."""

_printed: set[str] = set()
"""Digests of the warnings that this process has printed."""


def short_warnings(printed: Iterable[str] = ()) -> None:
    """Make Python print each warning once, as `semisup: warning: ...`.

    Outside of a sweep, a later call clears the record, so that the next command prints all of its warnings.

    Args:
        printed: digests of the warnings that the process which started this one has printed.
    """
    if SHARED not in os.environ:
        _printed.clear()
    _printed.update(printed)
    warnings.formatwarning = lambda message, *_: f"semisup: warning: {printable(message, 2000)}\n"
    warnings.showwarning = _show


def printed_warnings() -> list[str]:
    """List the digests of the warnings that this process has printed, by which they are recognized."""
    return sorted(_printed)


def share_printed(folder: Path) -> None:
    """Share the record of printed warnings with child processes, so that no warning is repeated.

    Args:
        folder: folder of the record, which is created; if this fails, each process prints its own warnings.
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
    """Record a warning, and return whether no process of the sweep has printed it before."""
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    if digest in _printed:
        return False
    _printed.add(digest)
    try:
        return SHARED not in os.environ or create_exclusive(Path(os.environ[SHARED]) / digest, b"")
    except OSError:
        return True
