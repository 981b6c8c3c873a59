"""Read and write the files in a sweep's folder that record the state of its jobs.

<folder>/plan.json           the overrides of each job; null if a sweeper of another package chooses them
<folder>/jobs/00003.json     the state of job 3, written when the job starts and when it ends. Its reference runs have
                             files such as 00003-control.json
<folder>/halt.json           the reason why no further run is started
<folder>/halving.json        with the sweeper `halving`: up to which share of the training the jobs are trained now, the
                             numbers of these jobs, and the results of earlier comparisons
<folder>/warnings/           one empty file for each printed warning, so that no process repeats it
<folder>/estimated           empty file; exists once a job was trained and the estimated time of the sweep was printed
<folder>/end.json            written by the worker process at its end; missing if it was killed
"""

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.config.controls import PROBE_KINDS, REFERENCE_KINDS
from semisup.errors import SettingError
from semisup.record.status import RunStatus
from semisup.runtime.liveness import is_alive, is_local, this_process

if TYPE_CHECKING:
    from semisup.runner.result import RunResult

Entry = dict[str, Any]
DIED = "its process died without an error message"
FAIL_FAST, STOPPED, TIME_UP = "sweep.fail_fast", "stopped", "sweep.minutes"
JOB_FILE = re.compile(rf"\d{{5,}}(-({'|'.join((*REFERENCE_KINDS, *PROBE_KINDS))}))?\.json")
PLAN_KEYS = {"sweep", "jobs"}
"""Keys of every plan.json, also of those that version 0.1.0 wrote."""


@dataclass(frozen=True)
class JobStore:
    """Record of the jobs of a sweep, in files of the sweep's folder. Several processes can use it at the same time."""

    folder: Path

    @property
    def printed_warnings(self) -> Path:
        """The folder with one empty file for each warning that the sweep has printed."""
        return self.folder / "warnings"

    def require_ownership(self) -> None:
        """Check that the sweep's folder is missing, is empty, or contains an earlier sweep.

        Raises:
            SettingError: the folder contains other files; the message names some of them.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise SettingError("hydra.sweep.dir", self.folder, "is not a folder; name a new or empty folder")
        names = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
        if names and not (self._read(self.folder / "plan.json") or {}).keys() >= PLAN_KEYS:
            listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise SettingError(
                "hydra.sweep.dir",
                self.folder,
                f"holds files that no sweep wrote ({listed}); name a new or empty folder, or leave the setting out",
            )

    def begin(
        self,
        plan: list[list[str]] | None,
        sweep: str,
        deleted_keys: Sequence[str] = (),
        deadline: float | None = None,
        *,
        is_open: bool = False,
    ) -> None:
        """Write the plan of a new sweep, and delete the files of an earlier sweep in the same folder.

        Args:
            plan: the overrides of each job; None if a sweeper of another package chooses them.
            sweep: unique name of the sweep.
            deleted_keys: keys to remove from the config of each job that has them.
            deadline: value of time.time() after which no further job starts; None = no limit.
            is_open: whether the sweeper may choose further jobs later, depending on results.
        """
        from semisup.runtime.atomic_files import make_folder, sync_folder

        make_folder(self.folder / "jobs")
        old_jobs = [path for path in (self.folder / "jobs").iterdir() if JOB_FILE.fullmatch(path.name)]
        old_warnings = self.printed_warnings.iterdir() if self.printed_warnings.is_dir() else ()
        for old in (
            *(self.folder / name for name in ("halt.json", "end.json", "estimated", "halving.json")),
            *old_jobs,
            *old_warnings,
        ):
            old.unlink(missing_ok=True)
        sync_folder(self.folder / "jobs")  # or a power loss could bring back old entries below the new plan
        content = {"sweep": sweep, "jobs": plan, "deleted_keys": list(deleted_keys), "deadline": deadline}
        self._write("plan.json", content | {"open": is_open})

    def extend_plan(self, first: int, jobs: list[list[str]]) -> None:
        """Replace the planned jobs from number `first` on by `jobs` (the overrides of each job)."""
        plan = self._read(self.folder / "plan.json") or {}
        self._write("plan.json", plan | {"jobs": [*(plan.get("jobs") or [])[:first], *jobs]})

    def close_plan(self) -> None:
        """Record that the sweeper will not choose further jobs."""
        self._write("plan.json", (self._read(self.folder / "plan.json") or {}) | {"open": False})

    def is_open(self) -> bool:
        """Whether the sweeper may choose further jobs later."""
        return bool((self._read(self.folder / "plan.json") or {}).get("open"))

    def begin_rung(self, rung: dict[str, Any]) -> None:
        """Record the next rung of the sweeper `halving`: which jobs to train, and up to which share of the training.

        The recorded states of these jobs are deleted, so that they are run again.

        Args:
            rung: `number` of the rung; `share` of the training (None = to the end); `jobs`, the numbers of the jobs;
                `decisions`, the results of the comparisons at earlier rungs.
        """
        from semisup.runtime.atomic_files import sync_folder

        # delete first: a process killed in between runs the jobs again up to the earlier rung, which they have reached
        continued = {RunStatus.STOPPED} if rung["share"] is not None else {RunStatus.STOPPED, RunStatus.DONE}
        names = [f"{number:05d}" for number in rung["jobs"]]
        self.delete_entries([name for name in names if (self.entry(name) or {}).get("status") in continued])
        sync_folder(self.folder / "jobs")
        self._write("halving.json", rung)

    def rung(self) -> dict[str, Any] | None:
        """Read the present rung of the sweeper `halving` (see `begin_rung`); None if there is none."""
        return self._read(self.folder / "halving.json")

    def progress(self) -> tuple[int, int]:
        """Return the number of the present rung (0 without the sweeper `halving`) and the number of recorded jobs.

        The tuple increases when a process starts a job, so the caller can detect whether any job was run.
        """
        return int((self.rung() or {}).get("number", 0)), len(self.entries())

    def belongs_to(self, sweep: str) -> bool:
        """Whether the recorded jobs belong to the sweep with this name."""
        return (self._read(self.folder / "plan.json") or {}).get("sweep") == sweep

    def plan(self) -> list[list[str]] | None:
        """Read the overrides (KEY=VALUE) of each job; None if a sweeper of another package chooses them."""
        return (self._read(self.folder / "plan.json") or {}).get("jobs")

    def deleted_keys(self) -> list[str]:
        """Read the keys that overrides such as `~threshold.momentum` remove from the config of each job."""
        return (self._read(self.folder / "plan.json") or {}).get("deleted_keys") or []

    def is_time_up(self) -> bool:
        """Whether the time limit of the sweep has passed; always False before the first job."""
        deadline = (self._read(self.folder / "plan.json") or {}).get("deadline")
        return deadline is not None and time.time() > deadline and bool(self.entries())

    def write_entry(self, name: str, result: "RunResult", *, references: Sequence[str] = ()) -> None:
        """Record the state of a job or reference run, and that it runs in this process.

        A power loss may delete the record. Then the job runs again, and reuses its run if the run is finished.

        Args:
            name: number of the job with five digits, such as 00003; for a reference run followed by its kind, such as
                00003-control.
            result: the result of the run, or its present state.
            references: kinds of the reference runs that are trained for this run.
        """
        names = ("status", "message", "kept", "last_lines", "shared_start", "seconds")
        entry = {name: getattr(result, name) for name in names}
        folder = None if result.folder == Path() else str(result.folder)  # a refused job has none
        position = {"folder": folder, "code": result.exit_code, "companions": list(references)}
        self._write(f"jobs/{name}.json", entry | position | this_process(), durable=False)

    def entry(self, name: str) -> Entry | None:
        """Read the recorded state of a job; None if there is none."""
        return self._read(self.folder / "jobs" / f"{name}.json")

    def entries(self) -> dict[str, Entry]:
        """Read the recorded state of every job and reference run, by names such as 00003 and 00003-control."""
        entries = {path.stem: self._read(path) for path in sorted((self.folder / "jobs").glob("*.json"))}
        return {name: entry for name, entry in entries.items() if entry is not None}

    def missing_jobs(self) -> list[int]:
        """List the numbers of the planned jobs that have no recorded state, or whose reference runs lack one."""
        entries = self.entries()
        incomplete = {name.partition("-")[0] for name in missing_references(entries)}
        names = [f"{number:05d}" for number, _ in enumerate(self.plan() or [])]
        return [int(name) for name in names if name not in entries or name in incomplete]

    def is_first_trained(self) -> bool:
        """Return True only at the first call in this sweep by any process; called after a job was trained."""
        from semisup.runtime.exclusive_files import create_exclusive

        return create_exclusive(self.folder / "estimated", b"")

    def request_stop(self, reason: str, **details: Any) -> None:
        """Ask all processes of the sweep to start no further run, and record the reason."""
        self._write("halt.json", {"why": reason} | details)

    def stop_reason(self) -> str | None:
        """Read the reason why no further run of the sweep may start; None if runs may start."""
        value = self._read(self.folder / "halt.json")
        return None if value is None else str(value.get("why"))

    def write_end(self, stopped: int | None, killed: str | None = None) -> None:
        """Record that the worker process of the sweep ended without being killed.

        Args:
            stopped: exit status of the worker process if a signal stopped it, or None.
            killed: name of the signal that killed a process of the launcher, or None.
        """
        self._write("end.json", {"stopped": stopped, "killed": killed})

    def pop_end(self) -> dict[str, Any] | None:
        """Read and delete the record of `write_end`; None if the worker process was killed."""
        value = self._read(self.folder / "end.json")
        (self.folder / "end.json").unlink(missing_ok=True)
        return value

    def mark_dead(self, cause: str) -> list[str]:
        """Mark the jobs whose process no longer exists as failed, and return their names.

        Args:
            cause: reason for the end of the processes, for the message.
        """
        dead = [name for name, entry in self.entries().items() if _is_running(entry) and not alive(entry)]
        for name in dead:
            self._write_failure(name, f"{DIED} ({cause})")
        return dead

    def record_loss(self, number: int, cause: str, *, fail_fast: bool) -> None:
        """Mark a job as failed because the launcher could not run it.

        If a reference run of the job is in progress, the reference run is marked instead.

        Args:
            number: number of the job.
            cause: the reason, for the message.
            fail_fast: whether no further run of the sweep may start after a failure.
        """
        name = f"{number:05d}"
        running = [each for each, entry in self.entries().items() if each.startswith(name) and _is_running(entry)]
        failed = running[-1] if running else name
        self._write_failure(failed, cause)
        if fail_fast:
            self.request_stop(FAIL_FAST, job=failed, status=RunStatus.FAILED)

    def is_interrupted(self, number: int) -> bool:
        """Whether the run of a job, or one of its reference runs, was stopped by a signal and can be resumed."""
        name = f"{number:05d}"
        return any(
            each.startswith(name) and entry["status"] == RunStatus.INTERRUPTED for each, entry in self.entries().items()
        )

    def _write_failure(self, name: str, message: str) -> None:
        entry = self.entry(name) or {"folder": None, "companions": []} | this_process()
        self._write(f"jobs/{name}.json", entry | {"status": RunStatus.FAILED, "message": message, "code": 1})

    def delete_entries(self, names: list[str]) -> None:
        """Delete the records of these jobs, so that the jobs are run again."""
        for name in names:
            (self.folder / "jobs" / f"{name}.json").unlink(missing_ok=True)

    def running_elsewhere(self) -> dict[str, int]:
        """Return the jobs that other processes of this machine are running, as name -> process id."""
        return {name: entry["process"] for name, entry in self.entries().items() if _runs_elsewhere(entry)}

    def wait_for_others(self) -> None:
        """Wait until the other processes of the sweep on this machine have stopped and saved their runs."""
        # otherwise the launcher would end the other processes as soon as this process ends
        for name in self.running_elsewhere():
            while (entry := self.entry(name)) is not None and _runs_elsewhere(entry):
                time.sleep(0.05)

    def _write(self, name: str, value: dict[str, Any], *, durable: bool = True) -> None:
        from semisup.record import write_json

        write_json(self.folder / name, value, durable=durable)

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        from semisup.record.reader import read_json

        return read_json(path)


def missing_references(entries: dict[str, Entry]) -> list[str]:
    """List the reference runs of finished jobs that have no recorded state yet, such as 00003-control."""
    due = (
        f"{name}-{kind}"
        for name, job in entries.items()
        if job["status"] == RunStatus.DONE
        for kind in job["companions"]
    )
    return [name for name in due if name not in entries]


def swept_runs(folder: Path) -> set[str]:
    """Return the runs that the sweeps of an experiment trained, without the reference runs.

    Args:
        folder: folder of the experiment, `<output_root>/<name>`.

    Returns:
        Names of run directories.
    """
    names: set[str] = set()
    for sweep in (folder / "sweeps").glob("*/jobs"):
        entries = JobStore(sweep.parent).entries()
        names |= {Path(str(entry.get("folder"))).name for name, entry in entries.items() if "-" not in name}
    return names


def alive(entry: Entry) -> bool:
    """Whether the process of a recorded job may still be running; always True for a process of another machine."""
    return not is_local(entry) or is_alive(entry)


def _is_running(entry: Entry) -> bool:
    return bool(entry["status"] == RunStatus.RUNNING)


def _runs_elsewhere(entry: Entry) -> bool:
    """Whether another process of this machine is running a recorded job."""
    other = is_local(entry) and entry["process"] != os.getpid()
    return other and _is_running(entry) and is_alive(entry)
