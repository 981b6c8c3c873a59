"""Estimate gains over reference runs: paired seed by seed, with the variance of seeds and of test images.

`docs/statistics.md` explains the three references, the intervals and the words of the conclusion.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from semisup.analysis.comparison import ReferenceGain, Row
from semisup.analysis.intervals import Interval, chosen_interval, paired_interval
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


def evidence(interval: Interval | None, *, confirmed: bool) -> Evidence:
    """Name what an interval says; `confirmed`: of a cell named in advance, on fresh seeds."""
    if interval is None:
        return Evidence.UNKNOWN
    if interval.low > 0:
        return Evidence.CLEAR if confirmed else Evidence.SUGGESTIVE
    if interval.high < 0:
        return Evidence.CLEAR_HARM if confirmed else Evidence.SUGGESTIVE_HARM
    return Evidence.NONE


CONTROL, LABELS_ONLY, BASELINE = "control", "best labels-only", "baseline"
"""Kinds of reference runs, in the order in which a comparison reports them."""


def row_gain(row: Row, kind: str) -> Gain | None:
    """Estimate a row's gain over one kind of reference; None if the row has none of them finished."""
    pairs = references_of(row, kind)
    others = [pair.other if pair.state == "done" else None for pair in pairs]
    return estimate_gain(list(zip(row.runs, others, strict=True)), row.split) if pairs else None


def references_of(row: Row, kind: str) -> tuple[ReferenceGain, ...]:
    """The gains of a row's runs over one kind of reference, one for each run; () for a labels-only row."""
    return {CONTROL: row.controls, LABELS_ONLY: row.labels_only, BASELINE: row.baselines}[kind]


def sweep_interval(rows: Sequence[Row], row: Row, kind: str) -> Interval | None:
    """Compute the interval of a row's gain that holds for all rows of the sweep at once.

    Rows with other seeds than `row`, or with a missing reference, are not among those that it holds for.

    Returns:
        None with fewer than two finished pairs.
    """
    own = _points_by_seed(row, kind)
    if len(own) < 2:
        return None
    gains: list[list[float]] = []
    chosen = 0
    for other in rows:
        points = _points_by_seed(other, kind)
        if other is row:
            chosen = len(gains)
        if points.keys() == own.keys():
            gains.append([points[seed] for seed in own])
    pairs = [
        (run, pair.other)
        for run, pair in zip(row.runs, references_of(row, kind), strict=True)
        if pair.points is not None and pair.other is not None
    ]
    return chosen_interval(gains, chosen, shared_image_means(pairs, row.split))


def _points_by_seed(row: Row, kind: str) -> dict[int | None, float]:
    pairs = zip(row.runs, references_of(row, kind), strict=False)
    return {run.seed: pair.points for run, pair in pairs if pair.points is not None}
