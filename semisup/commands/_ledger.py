"""What became of every job of a sweep: one file each, written before it starts and when it ends.

Exit codes of launchers say nothing: a worker may die, and a job may end its process.
"""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from semisup.errors import show

if TYPE_CHECKING:
    from semisup.commands._run import Outcome

HALT = "halt.json"  # in a sweep's folder: no further run is to be started


def note(ledger: Path, name: str, outcome: "Outcome") -> None:
    """What became of a job, where the parent of the sweep looks for it."""
    from semisup.record import write_json

    ledger.mkdir(parents=True, exist_ok=True)
    entry = {name: getattr(outcome, name) for name in ("status", "message", "kept")}
    write_json(ledger / f"{name}.json", entry | {"folder": str(outcome.folder), "code": outcome.exit_code})


def report(ledger: Path, root: Path, seconds: float, stopped: int | None) -> int:
    """Say what became of every job; the exit status is 0 only if all are done."""
    entries = {path.stem: json.loads(path.read_text()) for path in sorted((ledger / "jobs").glob("*.json"))}
    runs = {name: entry for name, entry in entries.items() if "-" not in name}
    companions = {entry["folder"] for name, entry in entries.items() if "-" in name}
    counts = Counter(entry["status"] for entry in runs.values())
    kept = sum(entry["kept"] for entry in runs.values())
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
    before = f" ({kept} of them before)" if kept else ""
    print(f"\n{len(runs)} runs: {said}{before}; {len(companions)} controls and baselines")
    for name, entry in entries.items():
        if entry["status"] != "done":
            print(f"  {entry['status']}: job {name}: {show(entry['message'])}")
    print(f"{seconds:.0f} s. Next: semisup compare {root}")
    if stopped is not None:
        print("stopped; the same command continues")
        asked = [entry["code"] for entry in entries.values() if entry["status"] == "interrupted"]
        return int(asked[0]) if asked else stopped
    return 0 if runs and all(entry["status"] == "done" for entry in entries.values()) else 1
