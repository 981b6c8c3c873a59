"""Rows of a comparison: the runs of one setting, each with its gains over its reference runs.

A reference run is a run on labels only, with which another run is compared: its control, its baseline, or the run of
the same seed with the best labels-only setting.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from semisup.analysis.gains import BASELINE, CONTROL, LABELS_ONLY, Gain
from semisup.analysis.run_settings import FlatSettings
from semisup.analysis.runs import Run
from semisup.analysis.spread import Spread, mean_validation_score, summarize


@dataclass(frozen=True)
class ReferenceGain:
    """Gain of a finished run over a reference run (a run on labels only, with which it is compared).

    other: the reference run; None if there is none
    points: the gain in percentage points; None unless the reference run is finished
    """

    other: Run | None
    points: float | None

    @property
    def state(self) -> str:
        """Status of the reference run, such as `done` or `failed`; "missing" if there is no reference run."""
        return "missing" if self.other is None else self.other.status

    @property
    def finished(self) -> Run | None:
        """The reference run if it is finished, else None."""
        return self.other if self.other is not None and self.other.done else None


@dataclass(frozen=True)
class Row:
    """Finished runs of one setting. They differ only in seed and cross-validation fold, and are sorted by both."""

    settings: FlatSettings  # values of the keys that differ between rows, if the runs have them
    runs: tuple[Run, ...]
    controls: tuple[ReferenceGain, ...]  # gain of each run over its control; empty for labels-only runs
    baselines: tuple[ReferenceGain, ...]
    labels_only: tuple[ReferenceGain, ...] = ()  # gains over the best labels-only runs
    gains: Mapping[str, Gain] = field(default_factory=dict)  # kind of reference run -> gain, if known
    ensemble: float | None = None  # test accuracy of the mean of the seeds' probabilities, in [0, 1]; None = unknown

    def references(self, kind: str) -> tuple[ReferenceGain, ...]:
        """Return the gain of each run of this row over its reference run of one kind; () for a labels-only row."""
        return {CONTROL: self.controls, LABELS_ONLY: self.labels_only, BASELINE: self.baselines}[kind]

    @property
    def split(self) -> str:
        return split_of(self.runs)

    def accuracy(self, split: str) -> Spread | None:
        return summarize(run.accuracy(split) for run in self.runs)

    def score(self, split: str) -> Spread | None:
        """Return mean and spread of the metric in which gains are measured: accuracy or balanced accuracy."""
        return summarize(run.score(split) for run in self.runs)

    @property
    def selection_value(self) -> Spread | None:
        """Mean and spread of the validation metric by which rows are ranked."""
        return summarize(run.selection_value for run in self.runs)

    def mean(self, name: str) -> float | None:
        spread = summarize(run.seconds if name == "seconds" else run.number(name) for run in self.runs)
        return spread.mean if spread else None

    @property
    def best_run(self) -> Run:
        """The run with the best validation score; if there are several, the one with the lowest seed."""
        return max(self.runs, key=lambda run: (mean_validation_score([run]), -(run.seed or 0)))


def split_of(runs: Iterable[Run]) -> str:
    """Return `test` if every run has a test accuracy, else `validation`."""
    return "test" if all(run.accuracy("test") is not None for run in runs) else "validation"


def pair_runs(run: Run, other: Run | None) -> ReferenceGain:
    """Compute the gain of a finished run over a reference run of the same seed.

    The gain is measured on the test set if both runs have a test accuracy, else on the validation set. Both runs must
    have the same `select_by`.
    """
    if other is None or not other.done:
        return ReferenceGain(other, None)
    return ReferenceGain(other, accuracy_difference(run, other, split_of((run, other))))


def accuracy_difference(run: Run, other: Run, split: str) -> float | None:
    """Compute the accuracy, or balanced accuracy, of `run` minus that of `other`, in percentage points.

    Returns:
        None if one of the runs has no accuracy on this split.
    """
    accuracy, reference = run.score(split), other.score(split)
    return None if accuracy is None or reference is None else 100 * (accuracy - reference)
