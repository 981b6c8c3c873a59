"""Detect whether the process that holds a lock is alive by its heartbeat, a counter in the lock file.

The process increments the counter at regular intervals. A lock is stale if another process has seen the same counter
for `STALE_SECONDS`, measured by its own clock, because the clocks of two machines may differ.
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
    """Result of observing a lock file repeatedly.

    fingerprint: fingerprint of the file when this process last read it
    since: monotonic seconds at which this process first read this fingerprint
    moved: whether the same file (same inode) had another fingerprint before, so the heartbeat advances
    """

    fingerprint: Fingerprint
    since: float
    moved: bool

    @property
    def unchanged_seconds(self) -> float:
        return time.monotonic() - self.since


_observations: dict[str, Observation] = {}


def read_fingerprint(path: Path) -> Fingerprint | None:
    """Read the inode, modification time and content of a lock file; None if there is no file.

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
    """Record the present fingerprint of a lock file.

    Returns:
        the observation, with the time since which the fingerprint has not changed.
    """
    key = os.path.abspath(path)
    before = _observations.get(key)
    if before is None or before.fingerprint != fingerprint:
        same_lock = before is not None and before.fingerprint[0] == fingerprint[0]
        _observations[key] = Observation(fingerprint, time.monotonic(), same_lock)
    return _observations[key]


def observe_siblings(run_directory: Path) -> None:
    """Observe the lock files of a run and of all other runs in the same folder.

    So all stale locks are recognized after the same waiting time, and not one after another.
    """
    for pattern in ("*/owner.json", ".*/*/owner.json"):
        for path in run_directory.parent.glob(pattern):
            try:
                fingerprint = read_fingerprint(path)
            except OSError:
                continue
            if fingerprint is not None:
                observe(path, fingerprint)
