"""Identify the process that holds the lock of a run directory."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from semisup.record import heartbeat
from semisup.runtime.liveness import is_alive, is_local


class Holder(NamedTuple):
    """The process that holds a lock, as recorded in owner.json.

    fingerprint: inode, modification time and content of owner.json
    process: process id, host and other entries of the file; {} if it is empty or incomplete
    """

    fingerprint: heartbeat.Fingerprint
    process: dict[str, Any]

    def __str__(self) -> str:
        if not self.process:
            return "another process"
        return f"process {self.process.get('process')} on {self.process.get('host')}"


class HolderState(StrEnum):
    """State of the process that holds a lock: alive, gone, unknown, or none if there is no lock."""

    NONE = "none"
    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"
    """The holder is on another host or in another PID namespace; only its heartbeat can show whether it is alive."""


def holder_state(folder: Path) -> tuple[HolderState, Holder | None]:
    """Return the state of the process that holds the lock of a run directory, and what is recorded about it."""
    try:
        holder = read_holder(folder / "owner.json")
    except OSError:
        return HolderState.UNKNOWN, None
    if holder is None:
        return HolderState.NONE, None
    if not holder.process or not is_local(holder.process):
        return HolderState.UNKNOWN, holder
    return HolderState.ALIVE if is_alive(holder.process) else HolderState.GONE, holder


def read_holder(path: Path) -> Holder | None:
    """Read from a lock file which process holds the lock; None if there is no such file.

    Raises:
        OSError: the file cannot be read.
    """
    fingerprint = heartbeat.read_fingerprint(path)
    if fingerprint is None:
        return None
    try:
        process = json.loads(fingerprint[2] or b"{}")
    except ValueError:
        process = {}
    return Holder(fingerprint, process if isinstance(process, dict) else {})
