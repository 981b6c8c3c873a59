"""Successive halving of a grid (arXiv 1502.07943): stop bad settings early in the training.

A rung is a share of the training, such as 0.2. When all jobs have been trained up to the rung, the settings are
compared by their validation metric. The best ones are trained up to the next rung; the others are stopped. Jobs that
differ only in seed, fold and split seed have the same setting, and are stopped or continued together.
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
"""Statuses of a job that is not run again before the settings are compared."""


class SettingScore(NamedTuple):
    """Result of a setting at a rung (a share of the training, at which settings are compared).

    score: best validation metric so far, averaged over the jobs of the setting; higher is better; None if a job failed
    step: largest training step among the jobs of the setting
    """

    score: float | None
    step: int


def group_by_setting(plan: Sequence[Sequence[str]]) -> dict[tuple[str, ...], list[int]]:
    """Group the jobs of a sweep by their setting.

    Args:
        plan: overrides (KEY=VALUE) of each job.

    Returns:
        Setting -> indices of its jobs. The setting consists of the overrides of a job, without the seed, fold and split
        seed, and without the overrides that all jobs have.
    """
    common = set.intersection(*map(set, plan)) if plan else set()
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, words in enumerate(plan):
        swept = (word for word in words if word not in common)
        setting = tuple(word for word in swept if word.partition("=")[0].lstrip("+") not in REPETITIONS)
        groups.setdefault(setting, []).append(number)
    return groups


def halving_batches(store: JobStore, rungs: list[float], eta: float) -> Iterator[list[int]]:
    """Yield the indices of the jobs to run next: one list for each rung, and one for the rest of the training.

    The iteration ends early in two cases: the sweep was stopped, or every setting has a failed run.

    Args:
        store: record of the jobs of the sweep.
        rungs: shares of the training, such as 0.2, after which settings are compared; in increasing order.
        eta: the best 1/eta of the settings continue after each rung.
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
        copies = group_by_runs(active, {number: entry or {} for number, entry in entries.items()})
        scores = {
            words: setting_score([entries[job] or {} for job in active[words]], rung["share"]) for words in copies
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
                "share": rungs[number] if best and number < len(rungs) else None,  # None without jobs closes the plan
                "jobs": [job for words in scores if words in best for copy in copies[words] for job in active[copy]],
                "decisions": [*rung["decisions"], decision],
            }
        )


def group_by_runs(
    settings: dict[tuple[str, ...], list[int]], entries: dict[int, Entry]
) -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    """Group the settings whose jobs have the same runs, so that each run is compared only once.

    An example is `threshold.tau=0.7,0.9` with `method.lambda_unlabeled=0`: no threshold is used, so both values of tau
    have the same run.

    Args:
        settings: setting -> indices of its jobs.
        entries: index of a job -> its recorded state.

    Returns:
        The first setting of each group -> all settings of the group.
    """
    first: dict[frozenset[str], tuple[str, ...]] = {}
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for setting, jobs in settings.items():
        folders = [entries.get(job, {}).get("folder") for job in jobs]
        complete = all(folder is not None for folder in folders)  # a refused job has no run directory
        representative = first.setdefault(frozenset(map(str, folders)), setting) if complete else setting
        groups.setdefault(representative, []).append(setting)
    return groups


def setting_score(entries: list[Entry], share: float) -> SettingScore:
    """Compute the score of a setting after a share of the training, from the recorded metrics of its runs.

    Args:
        entries: the recorded jobs of the setting.
        share: share of the training, in (0, 1).
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
    """Read the best validation metric of a run up to a share of the training; None if the run has failed."""
    if entry.get("status") not in (RunStatus.DONE, RunStatus.STOPPED):
        return None
    folder = Path(str(entry["folder"]))
    return RungScore(read_config(folder / "config.yaml")["train"], share).add(read_metrics(folder / "metrics.jsonl"))


def has_reached(folder: Path, train: dict[str, Any], share: float) -> RungScore | None:
    """Read the best validation metric of an unfinished run up to a share of the training.

    Args:
        folder: run directory.
        train: section `train` of the run's config.
        share: share of the training, in (0, 1).

    Returns:
        The best metric and the step; None if the run has not been trained up to this share yet.
    """
    try:
        rung = RungScore(train, share).add(read_metrics(folder / "metrics.jsonl"))
    except RecordError:  # no metrics yet
        return None
    return rung if rung.reached else None


def best_settings(scores: dict[tuple[str, ...], float | None], eta: float) -> list[tuple[str, ...]]:
    """Select the best 1/eta of the settings, rounded up; if scores are equal, earlier settings are preferred.

    Args:
        scores: setting -> score; settings with the score None are not selected.
    """
    known = {words: score for words, score in scores.items() if score is not None}
    ranked = sorted(known, key=lambda words: -known[words])
    return ranked[: math.ceil(round(len(scores) / eta, 9))]  # 21 / 1.4 is slightly above 15


def _line(number: int, rungs: int, decision: list[dict[str, Any]]) -> str:
    """Write the line that is printed after the settings were compared at a rung.

    Args:
        number: index of the rung, counted from 1.
        rungs: number of rungs.
        decision: for each setting, its `overrides`, `score` and `step`, and whether it `continues`.
    """
    kept = [each for each in decision if each["continues"]]
    if not kept:
        return f"halving: rung {number} of {rungs}: no setting continues, because each has a failed run; the sweep ends"
    step = max(each["step"] for each in decision)
    words = f"halving: rung {number} of {rungs}, step {step}: {len(kept)} of {counted(len(decision), 'setting')}"
    return f"{words} continue, the best is {' '.join(_top(kept)['overrides'])}"


def _top(decision: list[dict[str, Any]]) -> dict[str, Any]:
    return max(decision, key=lambda each: each["score"])
