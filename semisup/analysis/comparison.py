"""Compare runs: pair each with its control and baseline, then group runs that differ only in the seed into rows.

    gain of a run   = 100 (accuracy of the run - accuracy of its control), in percentage points, seed by seed
    mean and spread = arithmetic mean and sample standard deviation over the seeds; one seed has no spread

Accuracy is measured on the test set, or on the validation set where there is no test set. Selection (the order of the
rows and the best row) uses validation alone.
"""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from semisup.analysis.gains import BASELINE, CONTROL, LABELS_ONLY, CorrectImages, Gain, Pair, estimate_gains
from semisup.analysis.runs import Run, as_number
from semisup.config.run_id import dataset_keys
from semisup.dataset import KeyRole
from semisup.text import escape

FlatSettings = dict[str, Any]
"""Dotted keys -> values, without the seed."""

LENGTHS = ("train.steps", "train.epochs")
"""Settings in which controls of one group may differ: a run whose labelings selected more took more steps."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; the deviation of a single value is None."""

    mean: float
    deviation: float | None
    count: int


def summarize(values: Iterable[float | None]) -> Spread | None:
    """Mean and spread of the values that are not None; None if there are none."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    return Spread(statistics.fmean(present), statistics.stdev(present) if len(present) > 1 else None, len(present))


@dataclass(frozen=True)
class ReferenceGain:
    """Gain of a finished run over one reference run.

    state: "done", the status of the other run, or "missing"
    points: the gain; None unless done
    """

    state: str
    other: Run | None
    points: float | None


@dataclass(frozen=True)
class Row:
    """Finished runs that differ only in the seed, sorted by seed, one for each seed."""

    settings: FlatSettings  # of the varied keys, those that the runs have
    runs: tuple[Run, ...]
    controls: tuple[ReferenceGain, ...]  # one for each run; empty for labels-only runs
    baselines: tuple[ReferenceGain, ...]
    labels_only: tuple[ReferenceGain, ...] = ()  # over the best labels-only setting of the comparison
    gains: Mapping[str, Gain] = field(default_factory=dict)  # by kind of reference; only those that are known

    def references(self, kind: str) -> tuple[ReferenceGain, ...]:
        """The gains of the runs over one kind of reference, one for each run; () for a labels-only row."""
        return {CONTROL: self.controls, LABELS_ONLY: self.labels_only, BASELINE: self.baselines}[kind]

    @property
    def split(self) -> str:
        return split_of(self.runs)

    def accuracy(self, split: str) -> Spread | None:
        return summarize(run.accuracy(split) for run in self.runs)

    def mean(self, name: str) -> float | None:
        spread = summarize(run.seconds if name == "seconds" else run.number(name) for run in self.runs)
        return spread.mean if spread else None

    @property
    def best_run(self) -> Run:
        """The run of best validation accuracy; among equals the lowest seed."""
        return max(self.runs, key=lambda run: (run.accuracy("validation") or 0, -(run.seed or 0)))


@dataclass(frozen=True)
class ReferenceGroup:
    """Reference runs of one kind that differ only in seed and length.

    accuracy: over seeds; several lengths of one seed count by their mean
    """

    kind: str  # control, best labels-only or baseline
    settings: FlatSettings
    runs: tuple[Run, ...]
    accuracy: Spread | None
    split: str


@dataclass(frozen=True)
class Comparison:
    """The result of comparing runs.

    runs: all runs, unfinished ones and controls included
    flats: run folder -> flat settings
    columns: keys of the settings that differ
    rows: best on validation first
    references_of: folder of a finished run that uses unlabeled images -> gains over its control and baseline
    labels_only: the runs of the best labels-only setting, by seed; {} if there are none
    data_set: name of the data set where several are compared side by side; else ""
    """

    runs: list[Run]
    flats: dict[str, FlatSettings]
    columns: list[str]
    rows: list[Row]
    references: list[ReferenceGroup]
    unfinished: list[Run]
    references_of: dict[str, tuple[ReferenceGain, ReferenceGain]]
    labels_only: dict[int, Run] = field(default_factory=dict)
    data_set: str = ""

    @property
    def best(self) -> Row | None:
        """The row of best validation accuracy, among those that use unlabeled images if there are any."""
        candidates = [row for row in self.rows if row.controls] or self.rows
        return candidates[0] if candidates else None

    def flat(self, run: Run) -> FlatSettings:
        return self.flats[str(run.folder)]

    def roles(self, run: Run) -> str:
        """Role of the run: control, baseline, both, or run."""
        kinds = {group.kind for group in self.references for reference in group.runs if reference.id == run.id}
        kinds = kinds - {LABELS_ONLY} or kinds  # a control that is the best labels-only run stays a control
        return " and ".join(sorted(kinds, reverse=True)) or "run"


def compare_runs(runs: list[Run], data_set: str = "") -> Comparison:
    """Pair, group and sort runs of one data set.

    Args:
        data_set: its name, where several are compared side by side.
    """
    flats = _flats([run for run in runs if run.identity])
    finished = _one_each([run for run in runs if run.done])
    by_id = {run.id: run for run in [*runs[::-1], *finished]}  # of several folders of one id, the first finished one
    pairs = {
        str(run.folder): (pair_runs(run, by_id.get(run.control_id)), pair_runs(run, by_id.get(run.baseline_id)))
        for run in finished
        if run.control_id and run.baseline_id
    }
    reference_ids = {id_ for run in finished for id_ in run.reference_ids}
    own = [run for run in runs if run.identity and run.id not in reference_ids]
    columns = _varied([flats[str(run.folder)] for run in own])
    groups = defaultdict(list)
    for run in finished:
        if run.id not in reference_ids:
            groups[canonical(flats[str(run.folder)])].append(run)
    rows = [_row(group, columns, flats, pairs) for group in groups.values()]
    rows.sort(key=lambda row: (-_validation(row), [sort_key(row.settings.get(key)) for key in columns]))
    seeds = {run.seed for row in rows for run in row.runs if row.controls and run.seed is not None}
    labels_only = best_labels_only(finished, {run.id: canonical(flats[str(run.folder)]) for run in finished}, seeds)
    rows = with_gains([_with_labels_only(row, labels_only) for row in rows])
    return Comparison(
        runs=runs,
        flats={str(run.folder): {} for run in runs} | flats,
        columns=columns,
        rows=rows,
        references=_references(rows, columns, flats, labels_only),
        unfinished=[run for run in runs if not run.done],
        references_of=pairs,
        labels_only=labels_only,
        data_set=data_set,
    )


def best_labels_only(runs: Iterable[Run], settings_of: Mapping[str, str], seeds: set[int]) -> dict[int, Run]:
    """Choose the setting without unlabeled images that is best on validation: one for all seeds.

    Args:
        runs: of one data set; those that use unlabeled images, and unfinished ones, are ignored.
        settings_of: id of a run -> text that is equal for runs that differ only in the seed.
        seeds: those to compare. A setting that lacks one is considered only where none has all of them.

    Returns:
        Seed -> run of the chosen setting; {} if there is none.
    """
    groups: dict[str, dict[int, Run]] = defaultdict(dict)
    for run in runs:
        if run.done and not run.uses_unlabeled and run.seed in seeds:
            groups[settings_of[run.id]].setdefault(run.seed, run)
    most = max((len(group) for group in groups.values()), default=0)
    candidates = [groups[key] for key in sorted(groups) if len(groups[key]) == most]

    def validation(group: dict[int, Run]) -> float:
        return statistics.fmean(run.accuracy("validation") or 0.0 for run in group.values())

    return max(candidates, key=validation, default={})


def _with_labels_only(row: Row, labels_only: Mapping[int, Run]) -> Row:
    if not row.controls:
        return row
    return replace(row, labels_only=tuple(pair_runs(run, labels_only.get(run.seed or 0)) for run in row.runs))


def with_gains(rows: list[Row]) -> list[Row]:
    """Estimate the gains of the rows over every kind of reference; the predictions of each run are read once."""
    images, splits = CorrectImages(), [row.split for row in rows]
    gains: list[dict[str, Gain]] = [{} for _ in rows]
    for kind in (CONTROL, LABELS_ONLY, BASELINE):
        pairs = [
            [
                Pair(run, reference.other, points)
                for run, reference in zip(row.runs, row.references(kind), strict=False)
                if reference.other is not None and reference.points is not None
                if (points := _difference(run, reference.other, row.split)) is not None
            ]
            for row in rows
        ]
        for number, gain in enumerate(estimate_gains(pairs, splits, images)):
            if gain is not None:
                gains[number][kind] = gain
    return [replace(row, gains=of_row) for row, of_row in zip(rows, gains, strict=True)]


def split_of(runs: Iterable[Run]) -> str:
    """The split on which accuracy is reported: test if every run has it, else validation."""
    return "test" if all(run.accuracy("test") is not None for run in runs) else "validation"


def canonical(value: Any) -> str:
    """Text that is equal for equal settings: 1 and 1.0 are one value, true is another."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{canonical(value[key])}" for key in sorted(value, key=str)) + "}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if type(value) is int else json.dumps(value, default=str)


def sort_key(value: Any) -> tuple[int, float, str]:
    """Order of values: missing, then numbers by size, then text."""
    if (size := as_number(value)) is not None:
        return (1, float(size), "")
    return (0, 0.0, "") if value is None else (2, 0.0, canonical(value))


def format_settings(settings: FlatSettings) -> str:
    """`threshold.tau=0.95 augment.strength=0.5`, safe to print."""
    return " ".join(f"{escape(key)}={escape(value)}" for key, value in settings.items())


def _flats(runs: list[Run]) -> dict[str, FlatSettings]:
    """Flat settings of each run without the seed, and without a split seed that equals the seed.

    Whether the split seed follows the seed shows only in a group of runs whose other settings are equal.
    """
    flats = {str(run.folder): flatten(run.identity) for run in runs}
    alike = defaultdict(list)
    for run in runs:
        flat = flats[str(run.folder)]
        del flat["seed"]
        seeds = {f"dataset.{key}" for key in dataset_keys(run.identity["dataset"], KeyRole.SPLIT_SEED)}
        rest = {key: value for key, value in flat.items() if key not in seeds}
        alike[canonical(rest)].append((flat, seeds, run.seed))
    for group in alike.values():
        if all(flat.get(key) == seed for flat, seeds, seed in group for key in seeds):
            for flat, seeds, _ in group:
                for key in seeds:
                    flat.pop(key, None)
    return flats


def flatten(node: dict[str, Any], prefix: str = "") -> FlatSettings:
    """Flatten nested settings to dotted keys."""
    flat: FlatSettings = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _varied(flats: list[FlatSettings]) -> list[str]:
    """Keys that take several values, threshold and augmentation first; a missing key is not a value."""
    values = defaultdict(set)
    for flat in flats:
        for key, value in flat.items():
            values[key].add(canonical(value))
    varied = [key for key, texts in values.items() if len(texts) > 1]
    return sorted(varied, key=lambda key: (not key.startswith("threshold."), not key.startswith("augment.")))


def _one_each(runs: list[Run]) -> list[Run]:
    """One run for each id: a run may lie in several experiments."""
    return list({run.id: run for run in reversed(runs)}.values())[::-1]


def _row(
    group: list[Run],
    columns: list[str],
    flats: dict[str, FlatSettings],
    pairs: dict[str, tuple[ReferenceGain, ReferenceGain]],
) -> Row:
    runs = tuple(sorted({run.seed: run for run in reversed(group)}.values(), key=lambda run: run.seed or 0))
    flat = flats[str(runs[0].folder)]
    gains = [pairs[str(run.folder)] for run in runs if str(run.folder) in pairs]
    controls, baselines = tuple(pair[0] for pair in gains), tuple(pair[1] for pair in gains)
    return Row({key: flat[key] for key in columns if key in flat}, runs, controls, baselines)


def pair_runs(run: Run, other: Run | None) -> ReferenceGain:
    """The gain of a finished run over a reference run of the same seed, on test where both have it."""
    if other is None:
        return ReferenceGain("missing", None, None)
    if not other.done:
        return ReferenceGain(other.status, other, None)
    return ReferenceGain("done", other, _difference(run, other, split_of((run, other))))


def _difference(run: Run, other: Run, split: str) -> float | None:
    """Accuracy of `run` minus that of `other`, in percentage points; None where one has none on this split."""
    accuracy, reference = run.accuracy(split), other.accuracy(split)
    return None if accuracy is None or reference is None else 100 * (accuracy - reference)


def _references(
    rows: list[Row], columns: list[str], flats: dict[str, FlatSettings], labels_only: Mapping[int, Run]
) -> list[ReferenceGroup]:
    """Controls grouped by their settings, then the best labels-only runs, then baselines."""
    groups: dict[tuple[str, str], dict[str, Run]] = defaultdict(dict)
    for row in rows:
        for kind, pairs in ((CONTROL, row.controls), (BASELINE, row.baselines)):
            for run in (pair.other for pair in pairs if pair.state == "done" and pair.other):
                flat = {key: value for key, value in flats[str(run.folder)].items() if key not in LENGTHS}
                groups[kind, canonical(flat)][run.id] = run
    shown = [key for key in columns if not key.startswith(("train.", "method.", "threshold."))]
    references = []
    for (kind, _), group in groups.items():
        runs = tuple(group.values())
        flat = flats[str(runs[0].folder)]
        keys = [key for key in shown if key in flat and (kind == CONTROL or not key.startswith("augment."))]
        settings = {key: flat[key] for key in keys}
        references.append(ReferenceGroup(kind, settings, runs, over_seeds(runs, split_of(runs)), split_of(runs)))
    if labels_only:
        runs = tuple(labels_only.values())
        flat = flats[str(runs[0].folder)]
        names = ["method.name", "augment.name", "augment.strength"]
        varied = {key: flat[key] for key in names if key in flat}
        references.append(ReferenceGroup(LABELS_ONLY, varied, runs, over_seeds(runs, split_of(runs)), split_of(runs)))
    order = (CONTROL, LABELS_ONLY, BASELINE)
    references.sort(key=lambda group: (order.index(group.kind), [sort_key(group.settings.get(key)) for key in shown]))
    return references


def over_seeds(runs: Iterable[Run], split: str) -> Spread | None:
    """Accuracy over seeds; several runs of one seed (of different length) count by their mean."""
    by_seed = defaultdict(list)
    for run in {run.id: run for run in runs}.values():
        by_seed[run.seed].append(run.accuracy(split))
    means = [summarize(values) for values in by_seed.values()]
    return summarize(spread.mean for spread in means if spread)


def _validation(row: Row) -> float:
    value = row.accuracy("validation")
    return value.mean if value else -math.inf
