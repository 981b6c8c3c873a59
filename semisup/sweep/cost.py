"""Write lines about the cost of a sweep: the number of runs and, after the first job, the estimated time."""

from semisup.record.status import RunStatus
from semisup.sweep.job_store import Entry, missing_references
from semisup.text import counted


def announcement(jobs: int | None, seeds: int, folds: int, *, references: bool, minutes: float | None) -> str:
    """Write the line with the number of runs of a sweep, which is printed before the first job.

    Args:
        jobs: number of runs, not counting reference runs; None if only the sweeper knows it.
        seeds: number of seeds with which each setting is run.
        folds: number of folds of the labels with which each setting is run; 1 without folds.
        references: whether the sweep also trains reference runs (runs on labels only, for comparison).
        minutes: time after which no further run is started; None = no limit.
    """
    count = "as many runs as the search asks for" if jobs is None else counted(jobs, "run")
    repetitions = seeds * folds
    if jobs is not None and repetitions > 1 and jobs % repetitions == 0 and (jobs > repetitions or folds > 1):
        parts = [counted(jobs // repetitions, "setting")]
        parts += [counted(number, noun) for number, noun in ((seeds, "seed"), (folds, "fold")) if number > 1]
        count += f" ({' x '.join(parts)})"
    beside = (
        ", and for those that use unlabeled images reference runs (labels only, for comparison)" if references else ""
    )
    limit = "" if minutes is None else f"; no further run starts after {minutes:g} minutes"
    return f"sweep: {count}{beside}{limit}"


def estimate(entries: dict[str, Entry], name: str, jobs: int, at_a_time: int) -> str | None:
    """Estimate the time of the remaining jobs of a sweep from the time of the first trained job.

    The estimate is a range, because several jobs can have the same reference run (a run on labels only, for
    comparison). Its lower end is the time without further reference runs; its upper end is the time with reference runs
    for every job.

    Args:
        entries: recorded states of jobs and reference runs, by name.
        name: name of a job that has just ended, together with its reference runs.
        jobs: number of jobs of the sweep.
        at_a_time: number of runs in parallel.

    Returns:
        The text of the estimate; None if `name` is not the first trained job.
    """
    unfinished = set(missing_references(entries))
    done = [each for each, entry in entries.items() if "-" not in each and entry["status"] == RunStatus.DONE]
    complete = [
        each for each in done if not any(f"{each}-{kind}" in unfinished for kind in entries[each]["companions"])
    ]
    if [each for each in complete if not entries[each]["kept"]] != [name] or jobs <= len(done):
        return None
    run = float(entries[name].get("seconds") or 0)
    beside = sum(float(entry.get("seconds") or 0) for each, entry in entries.items() if each.startswith(f"{name}-"))
    least, most = ((jobs - len(done)) * each / at_a_time for each in (run, run + beside))
    first = f"the first took {run:.1f} s" + (f", its reference runs {beside:.1f} s" if beside else "")
    return f"sweep: {counted(jobs - len(done), 'more run')}: {duration_range(least, most)} ({first})"


def duration_range(least: float, most: float) -> str:
    """Format a range of seconds as `40 s` or `2 to 5 minutes`."""
    if most < 100:
        low, high, unit = f"{least:.0f}", f"{most:.0f}", "s"
    else:
        low, high, unit = f"{least / 60:.1f}", f"{most / 60:.1f}", "minutes"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
