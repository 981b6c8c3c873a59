"""What became of every job of a sweep: one file each, written before it starts and when it ends.

<folder>/plan.json           what each job is to be: its overrides; null where only the sweeper knows
<folder>/jobs/00003.json     what became of job 3; 00003-control.json and -baseline.json of its companions
<folder>/halt.json           no further run is to be started, and why
<folder>/end.json            the sweep's process came to its end; without it, it died

Exit codes of launchers say nothing: a worker may die, and a job may end its process.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.config.controls import REFERENCE_KINDS
from semisup.record.status import RunStatus
from semisup.runtime.liveness import is_alive, is_local, this_process

if TYPE_CHECKING:
    from semisup.runner.result import RunResult

    pass

Entry = dict[str, Any]
DIED = "its process died without a word"
FAIL_FAST, STOPPED = "sweep.fail_fast", "stopped"


@dataclass(frozen=True)
class JobStore:
    """The ledger in a sweep's folder; used by the sweep's processes side by side; each job has files of its own."""

    folder: Path

    def begin(self, plan: list[list[str]] | None, sweep: str) -> None:
        """Before the first job of the sweep of this name: the plan; what an earlier one left in the folder goes."""
        from semisup.runtime.atomic_files import make_folder

        make_folder(self.folder / "jobs")
        for old in (self.folder / "halt.json", self.folder / "end.json", *(self.folder / "jobs").glob("*.json")):
            old.unlink(missing_ok=True)
        self._write("plan.json", {"sweep": sweep, "jobs": plan})

    def is_of(self, sweep: str) -> bool:
        """Whether that sweep has begun; else all that is here is of an earlier one."""
        return (self._read(self.folder / "plan.json") or {}).get("sweep") == sweep

    def plan(self) -> list[list[str]] | None:
        return (self._read(self.folder / "plan.json") or {}).get("jobs")

    def note(self, name: str, result: "RunResult", *, compared: bool = False) -> None:
        """What became of a job, who is at it, and whether it gets a control and a baseline."""
        names = ("status", "message", "kept", "last_lines", "shared_start")
        entry = {name: getattr(result, name) for name in names}
        folder = None if result.folder == Path() else str(result.folder)  # none of what was refused
        position = {"folder": folder, "code": result.exit_code, "companions": list(REFERENCE_KINDS) if compared else []}
        self._write(f"jobs/{name}.json", entry | position | this_process())

    def entry(self, name: str) -> Entry | None:
        return self._read(self.folder / "jobs" / f"{name}.json")

    def entries(self) -> dict[str, Entry]:
        found = {path.stem: self._read(path) for path in sorted((self.folder / "jobs").glob("*.json"))}
        return {name: entry for name, entry in found.items() if entry is not None}

    def missing(self) -> list[int]:
        """Numbers of the planned jobs of which nothing is known, or nothing of what they are to be compared with."""
        known = self.entries()
        half = {name.partition("-")[0] for name in missing_references(known)}
        names = [f"{number:05d}" for number, _ in enumerate(self.plan() or [])]
        return [int(name) for name in names if name not in known or name in half]

    def halt(self, why: str, **more: Any) -> None:
        self._write("halt.json", {"why": why} | more)

    def halted(self) -> str | None:
        """Why no further run is to be started, or None."""
        found = self._read(self.folder / "halt.json")
        return None if found is None else str(found.get("why"))

    def end(self, stopped: int | None) -> None:
        """The sweep's process is through; `stopped` by a signal, whose exit status this is."""
        self._write("end.json", {"stopped": stopped})

    def ended(self) -> dict[str, Any] | None:
        """What `end` said, once."""
        found = self._read(self.folder / "end.json")
        (self.folder / "end.json").unlink(missing_ok=True)
        return found

    def bury(self, how: str) -> list[str]:
        """Runs whose process is gone are failed ones; returns the names of their jobs."""
        dead = [
            name for name, entry in self.entries().items() if entry["status"] == RunStatus.RUNNING and not alive(entry)
        ]
        for name in dead:
            entry = self.entry(name) or {}
            self._write(
                f"jobs/{name}.json", entry | {"status": RunStatus.FAILED, "message": f"{DIED} ({how})", "code": 1}
            )
        return dead

    def forget(self, names: list[str]) -> None:
        for name in names:
            (self.folder / "jobs" / f"{name}.json").unlink(missing_ok=True)

    def others(self) -> dict[str, int]:
        """Jobs whose run is in progress in another process of this host: name -> process."""
        return {name: entry["process"] for name, entry in self.entries().items() if _is_another(entry)}

    def wait_for_others(self) -> None:
        """Give other runs the time to save what they have, however long a batch is: the launcher ends them when the
        first one is through. Whoever asks this process a second time to stop ends the wait."""
        for name in self.others():
            while (entry := self.entry(name)) is not None and _is_another(entry):
                time.sleep(0.05)

    def _write(self, name: str, value: dict[str, Any]) -> None:
        from semisup.record import write_json

        write_json(self.folder / name, value)

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        try:
            value = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None


def missing_references(known: dict[str, Entry]) -> list[str]:
    """Names of the companions, of those jobs that are done, of which nothing is known."""
    due = (
        f"{name}-{kind}" for name, job in known.items() if job["status"] == RunStatus.DONE for kind in job["companions"]
    )
    return [name for name in due if name not in known]


def alive(entry: Entry) -> bool:
    """Whether the process of an entry may still be at its run; of another host nobody knows better."""
    return not is_local(entry) or is_alive(entry)


def _is_another(entry: Entry) -> bool:
    """Whether an entry's run is in progress in another process that this one can see."""
    here = is_local(entry) and entry["process"] != os.getpid()
    return here and entry["status"] == RunStatus.RUNNING and is_alive(entry)
