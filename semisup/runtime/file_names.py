"""Recognize names that a file or folder cannot have on Windows."""

import os

IS_WINDOWS = os.name == "nt"

_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def is_refused(name: str) -> bool:
    """Whether a file or folder of this name cannot be created on this system; always False except on Windows.

    Args:
        name: a name of letters, digits, dots, - and _. On Windows, device names such as `con` or `Con.txt` and names
            with a dot at the end are not allowed.
    """
    return IS_WINDOWS and (name.partition(".")[0].lower() in _DEVICES or name.endswith("."))
