"""Watch whether the content of a lock file changes, by the clock of the process that watches.

Clocks of two machines may differ by hours, so a heartbeat is never dated: its file holds a counter, and a lock is stale
if an observer has seen the same counter for `STALE_SECONDS` of its own monotonic time. The observations of a process
are kept in one table, so that waiting for several stale runs takes as long as waiting for one.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

STALE_SECONDS = 120.0
INTERVAL_SECONDS = 10.0

Fingerprint = tuple[int, int, bytes]
"""Inode, modification time and content of a lock file. Compared for equality only: the time is never read as a time."""


class Observation(NamedTuple):
    """One lock file as this process has seen it.

    fingerprint: of the last look
    since: monotonic seconds of the first look with this fingerprint
    moved: whether the fingerprint has changed since the first look
    """

    fingerprint: Fingerprint
    since: float
    moved: bool

    @property
    def unchanged_seconds(self) -> float:
        return time.monotonic() - self.since


_observations: dict[str, Observation] = {}


def read_fingerprint(path: Path) -> Fingerprint | None:
    """Read a lock file; None if there is none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return status.st_ino, status.st_mtime_ns, file.read()
    except FileNotFoundError:
        return None


def observe(path: Path, fingerprint: Fingerprint) -> Observation:
    """Record a look at a lock file and return what is known of it."""
    key = os.path.abspath(path)
    before = _observations.get(key)
    if before is None or before.fingerprint != fingerprint:
        same_lock = before is not None and before.fingerprint[0] == fingerprint[0]
        _observations[key] = Observation(fingerprint, time.monotonic(), same_lock)
    return _observations[key]


def observe_siblings(run_directory: Path) -> None:
    """Record a look at the locks of all runs of the same sweep, and of their shared starts."""
    for pattern in ("*/owner.json", ".*/*/owner.json"):
        for path in run_directory.parent.glob(pattern):
            try:
                fingerprint = read_fingerprint(path)
            except OSError:
                continue
            if fingerprint is not None:
                observe(path, fingerprint)
