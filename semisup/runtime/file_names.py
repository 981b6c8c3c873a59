"""Recognize names that a file or folder cannot have on Windows."""

import os

IS_WINDOWS = os.name == "nt"

_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def is_refused(name: str) -> bool:
    """Whether this system refuses a name that has only letters, digits, dots, - and _.

    On Windows, the name of a device refers to the device, also with a suffix and whatever its case is, and dots at the
    end are dropped.
    """
    return IS_WINDOWS and (name.partition(".")[0].lower() in _DEVICES or name.endswith("."))
