"""Statuses of a run, such as `done` and `failed`, and the causes of interruptions."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from semisup.errors import CollapsedError, DivergedError, StoppedAtRungError


class RunStatus(StrEnum):
    """Status of a run: running, done, failed, ...

    run.json contains only the statuses in `RECORDED_STATUSES`.
    """

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DIVERGED = "diverged"
    COLLAPSED = "collapsed"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    """Stopped at a rung by halving, after its state was saved; it can be continued."""

    REFUSED = "refused"
    """Not started: a setting, the data or a file of the run is not valid."""
    IN_USE = "in use"
    """Not started: another process holds the lock."""
    SKIPPED = "skipped"
    """Not started: the sweep was asked to stop before this run."""
    UNREADABLE = "unreadable"
    """The files of the run are damaged, or were written by more than one process."""


RECORDED_STATUSES = (
    RunStatus.RUNNING,
    RunStatus.DONE,
    RunStatus.FAILED,
    RunStatus.DIVERGED,
    RunStatus.COLLAPSED,
    RunStatus.INTERRUPTED,
    RunStatus.STOPPED,
)


def interruptions(before: dict[str, Any]) -> dict[str, int]:
    """Count how often a run ended before it was finished, by cause.

    A cause is the name of a signal, `halving` (stopped by successive halving), `killed` (the process ended without
    recording a cause), or a status such as `failed`.

    Args:
        before: content of run.json before this process started; {} if there was none.

    Returns:
        cause -> number of times.
    """
    counts: dict[str, int] = dict(before.get("interruptions") or {})
    if before:
        status, error = str(before.get("status")), before.get("error") or {}
        causes = {
            RunStatus.RUNNING: "killed",
            RunStatus.DONE: "killed",
            RunStatus.STOPPED: "halving",
            RunStatus.INTERRUPTED: str(error.get("message") or "SIGINT"),
        }
        name = next((cause for each, cause in causes.items() if each == status), status)
        counts[name] = counts.get(name, 0) + 1
    return counts


def status_of(error: BaseException) -> RunStatus:
    """Return the status of a run that ended with this exception."""
    if isinstance(error, CollapsedError):
        return RunStatus.COLLAPSED
    if isinstance(error, StoppedAtRungError):
        return RunStatus.STOPPED
    if isinstance(error, DivergedError):
        return RunStatus.DIVERGED
    stopped = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
    return RunStatus.INTERRUPTED if stopped else RunStatus.FAILED


def now() -> str:
    """Return the present time in UTC, to the second, in ISO format."""
    return datetime.now(UTC).isoformat(timespec="seconds")
