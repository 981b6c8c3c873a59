"""Check whether the pseudo-labels of the best setting are better than the best labels-only runs.

The interval of the gain is corrected for the choice of the setting, as in `semisup compare`. If `semisup confirm` has
repeated the setting with new seeds, the interval over these seeds is used instead.

    interval above 0                           pseudo-labels help
    interval below 0                           pseudo-labels harm
    interval contains 0, upper limit <= 2      labels alone do as well
    interval contains 0, upper limit > 2       the runs do not decide

The limit of 2 percentage points is NEGLIGIBLE. With few seeds, an interval is wide, and the runs do not decide.
"""

from enum import StrEnum
from typing import NamedTuple

from semisup.analysis.advice.case import Case, NoFinding
from semisup.analysis.confirmation import read_confirmation
from semisup.analysis.diagnosis import unused_reason
from semisup.analysis.gains import LABELS_ONLY, Gain, seeds_to_detect
from semisup.analysis.intervals import Interval
from semisup.analysis.rows import Row
from semisup.analysis.runs import Run
from semisup.analysis.spread import summarize

NAME = "pseudo-labels against labels alone"
NEGLIGIBLE = 2.0
"""Largest gain that counts as negligible, in percentage points of accuracy."""


class Verdict(StrEnum):
    HELP = "pseudo-labels help"
    HARM = "pseudo-labels harm"
    AS_GOOD = "labels alone do as well"
    UNDECIDED = "undecided"


class LabelsAlone(NamedTuple):
    """The gain of the best setting over the best labels-only runs of the same seeds.

    row: the runs of the best setting
    accuracy: mean accuracy (or balanced accuracy) of these runs, in [0, 1]
    alone: mean accuracy (or balanced accuracy) of the labels-only runs, in [0, 1]
    split: set on which both are measured, `test` or `validation`
    interval: 95 % interval of the gain, in percentage points
    confirmed: whether the runs are those of `semisup confirm`
    seeds_needed: number of seeds that would detect the gain; None if the verdict is not UNDECIDED, or
        if the number cannot be computed
    references: the labels-only runs
    """

    verdict: Verdict
    row: Row
    accuracy: float
    alone: float
    split: str
    gain: Gain
    interval: Interval
    confirmed: bool
    seeds_needed: float | None
    references: tuple[Run, ...]


def check_labels_alone(case: Case) -> LabelsAlone | NoFinding:
    """Judge the gain of the best setting over the best labels-only runs by its interval."""
    row, confirmed = _row(case)
    if row is None or not row.controls:
        return NoFinding(NAME, "a finished run that uses unlabeled images")
    gain = row.gains.get(LABELS_ONLY)
    if gain is None:
        return NoFinding(NAME, "a finished run on labels only")
    interval = gain.interval if confirmed else gain.sweep_interval
    if interval is None:
        return NoFinding(NAME, "two seeds")
    if all(unused_reason(run) for run in row.runs):
        return NoFinding(NAME, "a run that selected a pseudo-label")
    pairs = [(run, other.finished) for run, other in zip(row.runs, row.labels_only, strict=True)]
    known = [(run, other) for run, other in pairs if other is not None]
    accuracy = summarize(run.score(row.split) for run, _ in known)
    alone = summarize(other.score(row.split) for _, other in known)
    assert accuracy is not None
    assert alone is not None
    verdict = judge(interval)
    needed = seeds_to_detect(gain, confirmed=confirmed) if verdict is Verdict.UNDECIDED else None
    others = tuple(other for _, other in known)
    return LabelsAlone(verdict, row, accuracy.mean, alone.mean, row.split, gain, interval, confirmed, needed, others)


def judge(interval: Interval) -> Verdict:
    """Convert the interval of a gain over labels alone to a verdict."""
    if interval.low > 0:
        return Verdict.HELP
    if interval.high < 0:
        return Verdict.HARM
    return Verdict.AS_GOOD if interval.high <= NEGLIGIBLE else Verdict.UNDECIDED


def _row(case: Case) -> tuple[Row | None, bool]:
    """Return the runs of the best setting, and whether they are those of `semisup confirm`.

    The runs of `semisup confirm` are used if all of them are finished, else those of the sweep.
    """
    if case.alone and (confirmation := read_confirmation(case.folder)) is not None:
        plan, row = confirmation
        if row is not None and len(row.runs) == len(plan.seeds):
            return row, True
    return case.comparison.best, False
