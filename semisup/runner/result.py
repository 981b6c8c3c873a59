"""The result of training a run: status, message and summary."""

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semisup.config.schema import RunConfig
from semisup.record import write_json
from semisup.record.status import RunStatus

EXIT_STATUS: dict[str, int] = {
    RunStatus.DONE: 0,
    RunStatus.STOPPED: 0,
    RunStatus.RUNNING: 1,
    RunStatus.SKIPPED: 1,
    RunStatus.FAILED: 1,
    RunStatus.REFUSED: 2,
    RunStatus.IN_USE: 2,
    RunStatus.DIVERGED: 3,
    RunStatus.COLLAPSED: 3,
    RunStatus.INTERRUPTED: 130,
}


@dataclass(frozen=True)
class RunResult:
    """Result of training a run, for the terminal and for the record of a sweep.

    folder: run directory
    status: a key of EXIT_STATUS
    summary: summary of the finished run, or None
    message: reason why the run is not finished, or ""
    kept: whether the run had been finished before and is reused
    code: exit status of the command; None = the usual one of `status` (EXIT_STATUS)
    by: name of the signal that stopped the run, or that was received after its last step; "" = none
    shared_start: description of the part of the training that the run took from another run of the sweep, or None
    last_lines: end of the traceback, if the run failed
    error: the exception that ended the run, or None
    seconds: duration of the training, without reading data and computing features; None if nothing was trained
    """

    folder: Path
    status: str
    summary: dict[str, Any] | None = None
    message: str = ""
    kept: bool = False
    code: int | None = None
    by: str = ""
    shared_start: dict[str, Any] | None = None
    last_lines: list[str] = field(default_factory=list)
    seconds: float | None = None
    error: Exception | None = None

    @property
    def exit_code(self) -> int:
        return EXIT_STATUS[self.status] if self.code is None else self.code


def run_folder(run_config: RunConfig) -> Path:
    """Return the path of a run's directory, which may not exist yet."""
    return Path(run_config.run.output_root).expanduser() / run_config.run.name / run_config.id


def traceback_tail(count: int = 4) -> list[str]:
    """Return the last `count` lines of the traceback of the current exception, without its message."""
    lines = [line.rstrip() for line in traceback.format_exc().splitlines()]
    return [line for line in lines if line.strip(" ^~")][-count - 1 : -1]


def record_early_failure(run_config: RunConfig, result: RunResult) -> None:
    """Write a run directory with config and error for a run that failed before it had a directory."""
    result.folder.mkdir(parents=True, exist_ok=True)
    write_json(result.folder / "config.yaml", run_config.config)  # JSON is YAML
    error = {"kind": result.status, "message": result.message}
    about = {"schema": 1, "id": run_config.id, "name": run_config.run.name, "status": RunStatus.FAILED, "error": error}
    write_json(result.folder / "run.json", about)
