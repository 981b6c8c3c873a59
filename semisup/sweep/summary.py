"""The end of a sweep: every job accounted for, in the terminal and in sweep_summary.json and .md beside the ledger."""

from collections import Counter
from pathlib import Path
from typing import Any

from semisup.sweep.job_store import FAIL_FAST, Entry, JobStore, missing_references
from semisup.text import escape

NOT_STARTED = "never started"


def summarize(store: JobStore, expected: int | None, seconds: float) -> dict[str, Any]:
    """What became of the sweep, as plain data.

    Args:
        expected: how many jobs there should be; None where only the sweeper knew.
    """
    entries, plan = store.entries(), store.plan()
    runs = {name: entry for name, entry in entries.items() if "-" not in name}
    companions = {name: entry for name, entry in entries.items() if "-" in name}
    count = max(expected or 0, len(plan or []), len(runs))
    message = f"not started: {FAIL_FAST}" if store.halted() == FAIL_FAST else ""
    first: dict[str, str] = {}
    jobs = {}
    for name in sorted({*(f"{number:05d}" for number in range(count)), *runs}):
        found: Entry = runs.get(name) or {"status": NOT_STARTED, "message": message, "folder": None, "kept": False}
        if found["status"] == "skipped":
            found = found | {"status": NOT_STARTED}
        overrides = plan[int(name)] if plan and int(name) < len(plan) else None
        jobs[name] = {"overrides": overrides, **found}
        if found["folder"] and found["status"] != NOT_STARTED:
            jobs[name]["duplicate_of"] = first.get(found["folder"])
            first.setdefault(found["folder"], name)
    own = [job for job in jobs.values() if not job.get("duplicate_of")]
    shared = [job["shared_start"] for job in own if job.get("shared_start") and not job["kept"]]
    return {
        "seconds": seconds,
        "counts": dict(sorted(Counter(job["status"] for job in jobs.values()).items())),
        "kept": sum(bool(job["kept"]) for job in own),
        "duplicates": sum(bool(job.get("duplicate_of")) for job in jobs.values()),
        "companions": len({entry["folder"] for entry in companions.values()}),
        "companions_left": missing_references(entries),
        "expected": expected,
        "shared": {
            "runs": len(shared),
            **{key: sum(each[key] for each in shared) for key in ("epochs", "steps", "saved_seconds")},
        },
        "jobs": jobs,
        "companion_jobs": companions,
    }


def exit_status(summary: dict[str, Any], stopped: int | None) -> int:
    """0 only if every job and every companion is done, even if a signal came after the last; that of the signal where
    one stopped the sweep, or nothing is left but jobs that a signal stopped."""
    everything = [*summary["jobs"].values(), *summary["companion_jobs"].values()]
    undone = [each for each in everything if each["status"] != "done"]
    asked = [int(each["code"]) for each in undone if each["status"] == "interrupted"]
    whole = bool(everything) and not undone and not summary["companions_left"]
    if whole and (stopped is None or summary["expected"] is not None):  # else only the sweeper knew of more
        return 0
    if stopped is not None or (asked and len(asked) == len(undone)):
        return asked[0] if asked else stopped or 1
    return 1


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The same for people."""
    counts = ", ".join(f"{count} {status}" for status, count in summary["counts"].items()) or "none"
    before = f" ({summary['kept']} of them before)" if summary["kept"] else ""
    lines = [f"{len(summary['jobs'])} runs: {counts}{before}; {summary['companions']} controls and baselines"]
    duplicates = {name: job["duplicate_of"] for name, job in summary["jobs"].items() if job.get("duplicate_of")}
    if duplicates:
        named = [f"{int(name)} = {int(first)}" for name, first in duplicates.items()]
        lines.append(f"{summary['duplicates']} jobs had the settings of another, and ran once: {_some(named)}")
    shared = summary["shared"]
    if shared["runs"]:
        spared = f"{shared['epochs']} epochs, {shared['steps']} steps, {shared['saved_seconds']:.0f} s not run"
        lines.append(f"{shared['runs']} runs began with the warm-up of another: {spared}")
    for name, job in {**summary["jobs"], **summary["companion_jobs"]}.items():
        if job["status"] not in ("done", NOT_STARTED):
            lines.append(f"  {job['status']}: job {name}: {escape(job['message'])}")
            lines += [f"      {escape(line)}" for line in job.get("last_lines") or []]
    left = {name: job["message"] for name, job in summary["jobs"].items() if job["status"] == NOT_STARTED}
    if left:
        why = next((f" ({message})" for message in left.values() if message), "")
        lines.append(f"  never started: jobs {_some([str(int(name)) for name in left])}{why}")
    if summary["companions_left"]:
        lines.append(f"  never started: {_some(summary['companions_left'])}")
    return lines


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", and {len(names) - most} more" if len(names) > most else "")


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """sweep_summary.json and sweep_summary.md."""
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
