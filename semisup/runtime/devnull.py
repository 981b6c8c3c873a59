"""Discard what is written to an open file or to a path, by the null device of the system."""

import os
from pathlib import Path


def redirect_to_devnull(descriptor: int) -> None:
    """Discard all bytes that are written to an open file descriptor from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def discard_writes(path: Path) -> None:
    """Replace a file by a link to /dev/null, so that all later writes to this path are discarded.

    If Windows does not permit the link, the path is only deleted, and later writes create a file.
    """
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(os.devnull)
    except OSError:
        if os.name != "nt":
            raise
