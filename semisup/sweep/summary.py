"""Summarize a sweep: list the state of every job on the terminal, and in sweep_summary.json and sweep_summary.md."""

from collections import Counter
from pathlib import Path
from typing import Any

from semisup.record.status import RunStatus
from semisup.sweep.job_store import FAIL_FAST, TIME_UP, Entry, JobStore, missing_references
from semisup.text import counted, escape

NOT_STARTED = "never started"

REASONS = {
    FAIL_FAST: f"not started: {FAIL_FAST}",
    TIME_UP: f"the time limit {TIME_UP} is over; type the same command without it to continue",
}
"""Value of `JobStore.stop_reason` -> message about jobs that were not started."""


def summarize(store: JobStore, expected: int | None, seconds: float, cause: str = "") -> dict[str, Any]:
    """Summarize the recorded jobs of a sweep as plain data, for sweep_summary.json.

    Args:
        store: record of the jobs.
        expected: number of jobs; None if it was not known in advance.
        seconds: duration of the sweep.
        cause: reason why jobs were not started, or "".
    """
    entries, plan = store.entries(), store.plan()
    runs = {name: entry for name, entry in entries.items() if "-" not in name}
    references = {name: entry for name, entry in entries.items() if "-" in name}
    count = max(expected or 0, len(plan or []), len(runs))
    message = REASONS.get(store.stop_reason() or "", cause)
    first: dict[str, str] = {}
    jobs = {}
    for name in sorted({*(f"{number:05d}" for number in range(count)), *runs}):
        entry: Entry = runs.get(name) or {"status": NOT_STARTED, "message": message, "folder": None, "kept": False}
        if entry["status"] == RunStatus.SKIPPED:
            entry = entry | {"status": NOT_STARTED, "message": message or entry["message"]}
        overrides = plan[int(name)] if plan and int(name) < len(plan) else None
        jobs[name] = {"overrides": overrides, **entry}
        if entry["folder"] and entry["status"] != NOT_STARTED:
            jobs[name]["duplicate_of"] = first.get(entry["folder"])
            first.setdefault(entry["folder"], name)
    unique = [job for job in jobs.values() if not job.get("duplicate_of")]
    shared = [job["shared_start"] for job in unique if job.get("shared_start") and not job["kept"]]
    return {
        "seconds": seconds,
        "counts": dict(sorted(Counter(job["status"] for job in jobs.values()).items())),
        "kept": sum(bool(job["kept"]) for job in unique),
        "duplicates": sum(bool(job.get("duplicate_of")) for job in jobs.values()),
        "companions": len({entry["folder"] for entry in references.values()}),
        "companions_left": missing_references(entries),
        "open": store.is_open(),
        "expected": expected,
        "shared": {
            "runs": len(shared),
            **{key: sum(each[key] for each in shared) for key in ("epochs", "steps", "saved_seconds")},
        },
        "jobs": jobs,
        "companion_jobs": references,
    }


def exit_status(summary: dict[str, Any], stopped: int | None) -> int:
    """Choose the exit status of the command that ran a sweep.

    Args:
        summary: result of `summarize`.
        stopped: exit status for the signal that stopped the sweep; None if there was none.

    Returns:
        0 if every job and every reference run is done, or was stopped by the sweeper `halving`.
        The exit status for a signal if a signal stopped the sweep, or if signals stopped all jobs that are not done.
        1 otherwise.
    """
    everything = [*summary["jobs"].values(), *summary["companion_jobs"].values()]
    undone = [each for each in everything if each["status"] not in (RunStatus.DONE, RunStatus.STOPPED)]
    interrupted = [int(each["code"]) for each in undone if each["status"] == RunStatus.INTERRUPTED]
    complete = bool(everything) and not undone and not summary["companions_left"] and not summary["open"]
    if complete and (stopped is None or summary["expected"] is not None):  # otherwise the sweeper may have had more
        return 0
    if stopped is not None or (interrupted and len(interrupted) == len(undone)):
        return interrupted[0] if interrupted else stopped or 1
    return 1


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """Format the summary of a sweep as lines for the terminal."""
    counts = ", ".join(f"{count} {status}" for status, count in summary["counts"].items()) or "none"
    reused = f" ({summary['kept']} reused)" if summary["kept"] else ""
    lines = [
        f"{counted(len(summary['jobs']), 'run')}: {counts}{reused}; {counted(summary['companions'], 'reference run')}"
    ]
    duplicates = {name: job["duplicate_of"] for name, job in summary["jobs"].items() if job.get("duplicate_of")}
    if duplicates:
        pairs = [f"{int(name)} = {int(first)}" for name, first in duplicates.items()]
        verb = "is a duplicate" if len(pairs) == 1 else "are duplicates"
        lines.append(f"{counted(len(pairs), 'job')} {verb} of another and ran once: {_some(pairs)}")
    shared = summary["shared"]
    if shared["runs"]:
        saved = f"{counted(shared['epochs'], 'epoch')}, {counted(shared['steps'], 'step')}"
        saved += f", {shared['saved_seconds']:.0f} s saved"
        runs = counted(shared["runs"], "run")
        lines.append(f"{runs} began from a shared start (training before the first pseudo-labels): {saved}")
    for name, job in {**summary["jobs"], **summary["companion_jobs"]}.items():
        if job["status"] not in (RunStatus.DONE, RunStatus.STOPPED, NOT_STARTED):
            lines.append(f"  {job['status']}: job {name}: {escape(job['message'])}")
            lines += [f"      {escape(line)}" for line in job.get("last_lines") or []]
    stopped = [str(int(name)) for name, job in summary["jobs"].items() if job["status"] == RunStatus.STOPPED]
    if stopped:
        lines.append(f"  stopped by halving: jobs {_some(stopped)}; the same command without it continues them")
    left = {name: job["message"] for name, job in summary["jobs"].items() if job["status"] == NOT_STARTED}
    if left:
        reason = next((f" ({message})" for message in left.values() if message), "")
        lines.append(f"  never started: jobs {_some([str(int(name)) for name in left])}{reason}")
    if summary["companions_left"]:
        lines.append(f"  never started: {_some(summary['companions_left'])}")
    return lines


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write the summary of a sweep to sweep_summary.json and sweep_summary.md."""
    from semisup.record import write_json
    from semisup.runtime.atomic_files import make_folder, write_atomically
    from semisup.runtime.secrets import redact

    make_folder(folder)
    write_json(folder / "sweep_summary.json", summary)
    head, *rest = summary_lines(summary)
    rows = []
    for name, job in summary["jobs"].items():
        overrides, run = " ".join(job["overrides"] or []) or "-", Path(job["folder"] or "-").name
        rows.append(f"| {int(name)} | {job['status']} | {overrides} | {run} |")
    table = ["| job | status | overrides | run |", "|---|---|---|---|", *rows]
    text = "\n".join([f"# {head}", "", *(f"- {line.strip()}" for line in rest), "", *table, ""])
    write_atomically(folder / "sweep_summary.md", redact(text).encode("utf-8", "backslashreplace"))
