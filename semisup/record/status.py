"""How a run stands, and what ended it before."""

from datetime import UTC, datetime
from typing import Any

from semisup.errors import CollapsedError, DivergedError


def interruptions(before: dict[str, Any]) -> dict[str, int]:
    """How often a run was ended before its end, and by what: a signal, `killed` (without a word), `failed`, ...

    Args:
        before: run.json as the process before this one left it; {} where there was none.
    """
    counts: dict[str, int] = dict(before.get("interruptions") or {})
    if before:
        status, error = str(before.get("status")), before.get("error") or {}
        by = {"running": "killed", "done": "killed", "interrupted": str(error.get("message") or "SIGINT")}
        name = by.get(status, status)
        counts[name] = counts.get(name, 0) + 1
    return counts


def status_of(error: BaseException) -> str:
    """What run.json says of a run that this ended."""
    if isinstance(error, DivergedError | CollapsedError):
        return "collapsed" if isinstance(error, CollapsedError) else "diverged"
    return "interrupted" if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit) else "failed"


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
