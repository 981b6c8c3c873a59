"""The statuses of a run, and what ended it before."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from semisup.errors import CollapsedError, DivergedError


class RunStatus(StrEnum):
    """How a run stands; `RECORDED_STATUSES` are those that run.json may hold."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DIVERGED = "diverged"
    COLLAPSED = "collapsed"
    INTERRUPTED = "interrupted"

    REFUSED = "refused"
    """Not started: a setting, the data or the record is not as required."""
    IN_USE = "in use"
    """Not started: another process holds the lock."""
    SKIPPED = "skipped"
    """Not started: the sweep was asked to stop before."""
    UNREADABLE = "unreadable"
    """A record that is damaged or was not written by one process."""


RECORDED_STATUSES = (
    RunStatus.RUNNING,
    RunStatus.DONE,
    RunStatus.FAILED,
    RunStatus.DIVERGED,
    RunStatus.COLLAPSED,
    RunStatus.INTERRUPTED,
)


def interruptions(before: dict[str, Any]) -> dict[str, int]:
    """Count what ended a run before its end: a signal, `killed` (nothing was recorded), `failed`, ...

    Args:
        before: run.json as the previous process left it; {} if there was none.
    """
    counts: dict[str, int] = dict(before.get("interruptions") or {})
    if before:
        status, error = str(before.get("status")), before.get("error") or {}
        causes = {
            RunStatus.RUNNING: "killed",
            RunStatus.DONE: "killed",
            RunStatus.INTERRUPTED: str(error.get("message") or "SIGINT"),
        }
        name = next((cause for each, cause in causes.items() if each == status), status)
        counts[name] = counts.get(name, 0) + 1
    return counts


def status_of(error: BaseException) -> RunStatus:
    """The status of a run that this exception ended."""
    if isinstance(error, CollapsedError):
        return RunStatus.COLLAPSED
    if isinstance(error, DivergedError):
        return RunStatus.DIVERGED
    stopped = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
    return RunStatus.INTERRUPTED if stopped else RunStatus.FAILED


def now() -> str:
    """The time in UTC, to the second, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")
