"""Estimate gains over reference runs: paired seed by seed, with the variance of seeds and of test images.

`docs/statistics.md` explains the three references, the intervals and the words of the conclusion.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from semisup.analysis.intervals import Interval, paired_interval
from semisup.analysis.run_history import read_predictions
from semisup.analysis.runs import Run

Correctness = dict[str, float]
"""Path of a test image -> 1 where it was classified correctly, else 0."""


class Evidence(StrEnum):
    """What an interval says about a gain; only the confirmation of a named cell can be `clear`."""

    UNKNOWN = "unknown"  # fewer than two seeds, or no finished reference
    NONE = "no evidence"
    SUGGESTIVE = "suggestive"
    SUGGESTIVE_HARM = "suggestive of harm"
    CLEAR = "clear"
    CLEAR_HARM = "clear harm"


class Gain(NamedTuple):
    """Estimated gain of a row of runs over the reference runs of the same seeds.

    mean: percentage points
    interval: of one cell named in advance; None with fewer than two pairs
    pairs: finished pairs of run and reference
    runs: finished runs, of which some may have no finished reference
    for_these_labels: every seed had the same labeled images, so the interval holds for these labels only
    """

    mean: float
    interval: Interval | None
    pairs: int
    runs: int
    for_these_labels: bool = False


def estimate_gain(pairs: Sequence[tuple[Run, Run | None]], split: str) -> Gain | None:
    """Estimate the gain of runs over their references.

    Args:
        pairs: each run with its reference of the same seed, None where that is missing or unfinished.
        split: `test` or `validation`, on which accuracy is measured.

    Returns:
        None if no reference is finished.
    """
    finished = [(run, other) for run, other in pairs if other is not None and other.done]
    differences = [points for run, other in finished if (points := difference(run, other, split)) is not None]
    if not differences:
        return None
    images = shared_image_means(finished, split) if len(differences) == len(finished) > 1 else None
    interval = paired_interval(differences, images)
    same = len({run.fingerprint for run, _ in finished} - {None}) == 1 and len(finished) > 1
    return Gain(sum(differences) / len(differences), interval, len(differences), len(pairs), same)


def difference(run: Run, other: Run, split: str) -> float | None:
    """Accuracy of `run` minus that of `other`, in percentage points; None where one has none."""
    accuracy, reference = run.accuracy(split), other.accuracy(split)
    return None if accuracy is None or reference is None else 100 * (accuracy - reference)


def shared_image_means(pairs: Iterable[tuple[Run, Run]], split: str) -> list[float] | None:
    """Average, per image that all seeds share, the difference in correctness over the seeds, in points.

    Returns:
        None where the seeds have different images, or a run has no predictions.csv.
    """
    sums: dict[str, float] = defaultdict(float)
    images: set[str] | None = None
    count = 0
    for run, other in pairs:
        own, reference = correctness(run, split), correctness(other, split)
        if own is None or reference is None or own.keys() != reference.keys():
            return None
        if images is not None and own.keys() != images:
            return None
        images = set(own)
        count += 1
        for path, correct in own.items():
            sums[path] += correct - reference[path]
    return [100 * total / count for total in sums.values()] if count and sums else None


def correctness(run: Run, split: str) -> Correctness | None:
    """Read which images of a split a run classified correctly; None without predictions."""
    predictions = read_predictions(run.folder, split)
    if not predictions:
        return None
    return {each.path: float(each.predicted == each.target) for each in predictions}


def best_labels_only(runs: Iterable[Run], settings_of: Mapping[str, str], seeds: set[int]) -> dict[int, Run]:
    """Choose the setting without unlabeled images that is best on validation: one for all seeds.

    Args:
        runs: of one data set; those that use unlabeled images, and unfinished ones, are ignored.
        settings_of: id of a run -> text that is equal for runs that differ only in the seed.
        seeds: those that should be compared. A setting that lacks one is considered only where none has all.

    Returns:
        Seed -> run of the chosen setting; {} if there is none.
    """
    groups: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in runs:
        if run.done and not run.uses_unlabeled and run.seed in seeds and run.id in settings_of:
            groups[settings_of[run.id]].setdefault(run.seed, run)
    if not groups:
        return {}
    most = max(len(group) for group in groups.values())
    candidates = {key: group for key, group in groups.items() if len(group) == most}

    def validation(key: str) -> float:
        values = [run.accuracy("validation") or 0.0 for run in candidates[key].values()]
        return sum(values) / len(values)

    return candidates[max(sorted(candidates), key=validation)]


def evidence(interval: Interval | None, *, confirmed: bool) -> Evidence:
    """Name what an interval says; `confirmed`: of a cell named in advance, on fresh seeds."""
    if interval is None:
        return Evidence.UNKNOWN
    if interval.low > 0:
        return Evidence.CLEAR if confirmed else Evidence.SUGGESTIVE
    if interval.high < 0:
        return Evidence.CLEAR_HARM if confirmed else Evidence.SUGGESTIVE_HARM
    return Evidence.NONE
