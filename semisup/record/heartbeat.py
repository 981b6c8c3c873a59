"""Detect whether the holder of a lock is alive by its heartbeat: a counter in the lock file that the holder increments.

Clocks of two machines may differ by hours, so no times of different machines are compared. Instead, a lock is stale if
an observer has seen the same counter for `STALE_SECONDS` of its own monotonic clock. The observations of a process are
kept in one table, so that waiting for several stale runs takes no longer than waiting for one.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple

STALE_SECONDS = 120.0
INTERVAL_SECONDS = 10.0

Fingerprint = tuple[int, int, bytes]
"""Inode, modification time and content of a lock file; compared for equality only."""


class Observation(NamedTuple):
    """What this process has observed of the heartbeat in a lock file.

    fingerprint: fingerprint of the file when this process last read it
    since: monotonic seconds at which this process first read this fingerprint
    moved: whether the fingerprint has changed since this process first read the file, while the inode was the same
    """

    fingerprint: Fingerprint
    since: float
    moved: bool

    @property
    def unchanged_seconds(self) -> float:
        return time.monotonic() - self.since


_observations: dict[str, Observation] = {}


def read_fingerprint(path: Path) -> Fingerprint | None:
    """Read the fingerprint of a lock file, which includes its heartbeat counter; None if there is no file.

    Raises:
        OSError: the file exists but cannot be read.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            return status.st_ino, status.st_mtime_ns, file.read()
    except FileNotFoundError:
        return None


def observe(path: Path, fingerprint: Fingerprint) -> Observation:
    """Record the present state of a lock file; return the time since which it has not changed."""
    key = os.path.abspath(path)
    before = _observations.get(key)
    if before is None or before.fingerprint != fingerprint:
        same_lock = before is not None and before.fingerprint[0] == fingerprint[0]
        _observations[key] = Observation(fingerprint, time.monotonic(), same_lock)
    return _observations[key]


def observe_siblings(run_directory: Path) -> None:
    """Observe the lock files of all runs in the same folder.

    So waiting for several stale runs takes no longer than waiting for one."""
    for pattern in ("*/owner.json", ".*/*/owner.json"):
        for path in run_directory.parent.glob(pattern):
            try:
                fingerprint = read_fingerprint(path)
            except OSError:
                continue
            if fingerprint is not None:
                observe(path, fingerprint)
