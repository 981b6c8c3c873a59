"""Successive halving of a grid (arXiv 1502.07943): train all settings to a rung, and only the best ones to the next.

A setting is all values of a job except the seed and the fold; its jobs are stopped or continued together. The rungs are
synchronous: the settings are compared when every job has reached the rung. So the decisions do not depend on the
number of workers. They are computed from the recorded metrics of the runs, so that the same command makes the same
decisions again.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semisup.errors import RecordError
from semisup.record.reader import read_config, read_metrics
from semisup.record.rung import RungScore
from semisup.record.status import RunStatus
from semisup.report.console import safe_print
from semisup.sweep.job_order import REPETITIONS
from semisup.sweep.job_store import Entry, JobStore
from semisup.text import counted

ENDED = (
    RunStatus.DONE,
    RunStatus.STOPPED,
    RunStatus.FAILED,
    RunStatus.DIVERGED,
    RunStatus.COLLAPSED,
    RunStatus.REFUSED,
)
"""Statuses of a job that the same sweep does not run again at this rung."""


class SettingScore(NamedTuple):
    """Result of a setting at a rung.

    score: mean over its jobs of their best validation metric so far, higher is better; None if a job has failed
    step: largest step at which one of its jobs stopped
    """

    score: float | None
    step: int


def group_by_setting(plan: Sequence[Sequence[str]]) -> dict[tuple[str, ...], list[int]]:
    """Group the jobs of a plan by their setting.

    Returns:
        overrides that differ between jobs, without seed and fold -> numbers of the jobs.
    """
    common = set.intersection(*map(set, plan)) if plan else set()
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, words in enumerate(plan):
        swept = (word for word in words if word not in common)
        setting = tuple(word for word in swept if word.partition("=")[0].lstrip("+") not in REPETITIONS)
        groups.setdefault(setting, []).append(number)
    return groups


def halving_batches(store: JobStore, rungs: list[float], eta: float) -> Iterator[list[int]]:
    """Yield the numbers of the jobs to run next, one list for each rung and one for the rest of the training.

    The iteration ends early if a job of a rung was not run to the rung, because the sweep was stopped.
    """
    plan = store.plan() or []
    settings = group_by_setting(plan)
    if store.rung() is None:
        store.begin_rung({"number": 0, "share": rungs[0], "jobs": [*range(len(plan))], "decisions": []})
    while (rung := store.rung()) is not None:
        yield store.missing_jobs()
        entries = {number: store.entry(f"{number:05d}") for number in rung["jobs"]}
        if any(entry is None or entry["status"] not in ENDED for entry in entries.values()):
            return
        if rung["share"] is None:
            store.close_plan()
            return
        active = {words: jobs for words, jobs in settings.items() if jobs[0] in rung["jobs"]}
        scores = {
            words: setting_score([entries[job] or {} for job in jobs], rung["share"]) for words, jobs in active.items()
        }
        best = best_settings({words: result.score for words, result in scores.items()}, eta)
        number = rung["number"] + 1
        decision = [
            {"overrides": list(words), **result._asdict(), "continues": words in best}
            for words, result in scores.items()
        ]
        safe_print(_line(number, len(rungs), decision))
        store.begin_rung(
            {
                "number": number,
                "share": rungs[number] if number < len(rungs) else None,
                "jobs": [job for words, jobs in active.items() if words in best for job in jobs],
                "decisions": [*rung["decisions"], decision],
            }
        )


def setting_score(entries: list[Entry], share: float) -> SettingScore:
    """Compute the score of a setting at a rung from the recorded metrics of its runs.

    Args:
        entries: the recorded jobs of the setting.
        share: position of the rung, as a share of the training.
    """
    scores: list[float] = []
    last = 0
    for entry in entries:
        rung = _read_score(entry, share)
        if rung is None or rung.score is None:
            continue
        scores.append(rung.score)
        last = max(last, rung.step or 0)
    mean = math.fsum(scores) / len(scores) if len(scores) == len(entries) else None
    return SettingScore(mean, last)


def _read_score(entry: Entry, share: float) -> RungScore | None:
    """Read the metrics of a run up to a rung; None if the run has failed."""
    if entry.get("status") not in (RunStatus.DONE, RunStatus.STOPPED):
        return None
    folder = Path(str(entry["folder"]))
    return RungScore(read_config(folder / "config.yaml")["train"], share).add(read_metrics(folder / "metrics.jsonl"))


def has_reached(folder: Path, train: dict[str, Any], share: float) -> RungScore | None:
    """Read the metrics of an unfinished run; return them if it has reached the rung, else None."""
    try:
        rung = RungScore(train, share).add(read_metrics(folder / "metrics.jsonl"))
    except RecordError:  # no metrics yet
        return None
    return rung if rung.reached else None


def best_settings(scores: dict[tuple[str, ...], float | None], eta: float) -> list[tuple[str, ...]]:
    """Select the settings that continue: the best 1/eta of them, rounded up; of equal ones the first in the plan.

    A setting without a score does not continue.
    """
    known = {words: score for words, score in scores.items() if score is not None}
    ranked = sorted(known, key=lambda words: -known[words])
    return ranked[: math.ceil(len(scores) / eta)]


def _line(number: int, rungs: int, decision: list[dict[str, Any]]) -> str:
    """Write the line that is printed after a rung."""
    kept = [each for each in decision if each["continues"]]
    step = max(each["step"] for each in decision)
    words = f"halving: rung {number} of {rungs}, step {step}: {len(kept)} of {counted(len(decision), 'setting')}"
    return f"{words} continue" + (f", the best is {' '.join(_top(kept)['overrides'])}" if kept else "")


def _top(decision: list[dict[str, Any]]) -> dict[str, Any]:
    return max(decision, key=lambda each: each["score"])
