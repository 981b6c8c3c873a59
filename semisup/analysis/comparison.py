"""Compare runs: compute the gain of each run over its reference runs, and group the runs of one setting into rows.

    control         = the same run without unlabeled images
    baseline        = a run on labels only, without augmentation
    row             = the finished runs that differ only in seed and cross-validation fold
    gain of a run   = 100 * (accuracy of the run - accuracy of its control), in percentage points
    mean and spread = arithmetic mean and sample standard deviation over seeds and folds; one run has no spread

Accuracy is measured on the test set, or on the validation set if there is no test set. The rows are sorted by
validation accuracy, best first. If all runs have another metric as `train.select_by`, they are sorted by it; with
balanced accuracy, gains are in points of balanced accuracy, too (`selection.py`).
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from semisup.analysis.ensembles import ensemble_accuracy
from semisup.analysis.folds import repeated_by
from semisup.analysis.gains import BASELINE, CONTROL, KINDS, LABELS_ONLY, Gain, Pair, estimate_gains
from semisup.analysis.run_settings import (
    LENGTHS,
    FlatSettings,
    canonical,
    flat_settings,
    settings_but_length,
    sort_key,
    varied_settings,
)
from semisup.analysis.runs import ACCURACY, NO_ACCURACY, Run
from semisup.analysis.selection import selection_note, with_selection
from semisup.analysis.selection_stability import SelectionStability, selection_stability
from semisup.analysis.stored_predictions import StoredPredictions
from semisup.core.probe_grids import NAMES

Replicate = tuple[int, int]
"""Seed and cross-validation fold of a run; the fold is -1 without cross-validation."""

REFIT = f"refit: {NO_ACCURACY}"
"""Role of a run with `train.refit`, which trains on the validation images, too."""

PROBE = "probe.classifier"

OLD_CONTROL = "strongly augmented control"
"""Name of the control of runs of version 0.1.0: supervised training with the augmentation of the run."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; the deviation of a single value is None."""

    mean: float
    deviation: float | None
    count: int


def summarize(values: Iterable[float | None]) -> Spread | None:
    """Compute the mean and spread of the values that are not None; return None if all values are None."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    return Spread(statistics.fmean(present), statistics.stdev(present) if len(present) > 1 else None, len(present))


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


@dataclass(frozen=True)
class ReferenceGroup:
    """Reference runs of one kind, such as controls, that differ only in seed and number of steps."""

    kind: str  # control, best labels-only, baseline, or the name of a probe
    settings: FlatSettings
    runs: tuple[Run, ...]
    ensemble: float | None = None  # as in `Row`

    @property
    def name(self) -> str:
        """Name of this kind of reference run in reports."""
        return control_name(self.runs) if self.kind == CONTROL else self.kind

    @property
    def split(self) -> str:
        return split_of(self.runs)

    @property
    def accuracy(self) -> Spread | None:
        """Mean and spread of the accuracy, or balanced accuracy, over seeds.

        Runs of the same seed, which have different numbers of steps, are averaged first.
        """
        return over_seeds(self.runs, self.split)


@dataclass(frozen=True)
class Comparison:
    """The result of comparing runs.

    runs: all runs, including unfinished runs and controls
    flats: run folder -> its settings, a dictionary with dotted keys
    columns: keys of the settings that differ between the runs
    rows: the finished runs, grouped by setting and sorted by validation score, best first
    references: the finished reference runs, grouped by kind and setting
    references_of: folder of a finished run that uses unlabeled images -> kind of reference run, such as `control` ->
        gain over the reference run of this kind
    roles: id of a reference run -> its kinds, such as `control` or `control and best labels-only`; also, id of a run
        with `train.refit=true` (trained on labeled and validation images together) -> REFIT
    data_set: name of the data set if several data sets are compared; else ""
    stability: for several sizes, how often random smaller validation sets would have selected the best row
    select_by: validation metric by which rows are ranked
    selection_note: sentence if rows are ranked by accuracy although `train.select_by` has another value; else ""
    """

    runs: list[Run]
    flats: dict[str, FlatSettings]
    columns: list[str]
    rows: list[Row]
    references: list[ReferenceGroup]
    unfinished: list[Run]
    references_of: dict[str, dict[str, ReferenceGain]]
    roles: dict[str, str]
    data_set: str = ""
    stability: tuple[SelectionStability, ...] = ()
    select_by: str = ACCURACY
    selection_note: str = ""

    @property
    def best(self) -> Row | None:
        """The row with the best validation score. Labels-only rows are considered only if there are no others."""
        candidates = _candidates(self.rows)
        return candidates[0] if candidates else None

    @property
    def repeated_by(self) -> str:
        """What the runs of one setting differ in: `seeds`, `folds`, or `seeds and folds`."""
        return repeated_by([run for row in self.rows for run in row.runs])

    @property
    def control_name(self) -> str:
        """Name of the controls in reports; it is different for the controls of semisup 0.1.0."""
        return control_name([run for row in self.rows if row.controls for run in row.runs])

    def flat(self, run: Run) -> FlatSettings:
        return self.flats[str(run.folder)]


def control_name(runs: Iterable[Run]) -> str:
    """Return how reports name the runs' controls: `control`, or OLD_CONTROL if semisup 0.1.0 trained all runs."""
    definitions = [run.config.get("definitions", 1) for run in runs]
    return OLD_CONTROL if definitions and max(definitions) < 2 else CONTROL


def compare_runs(runs: list[Run], data_set: str = "") -> Comparison:
    """Compare runs on one data set: compute gains over reference runs, group runs into rows, and sort the rows.

    Args:
        data_set: name of the data set if several data sets are compared; else "".
    """
    flats = flat_settings([run for run in runs if run.identity])
    compared = _compared(runs)
    runs = with_selection(runs, compared)
    finished = _one_each([run for run in runs if run.is_comparable])
    by_id = {run.id: run for run in [*runs[::-1], *finished]}  # of folders with the same id, the first finished one
    pairs = {
        str(run.folder): {
            CONTROL: pair_runs(run, by_id.get(run.control_id)),
            BASELINE: pair_runs(run, by_id.get(run.baseline_id)),
        }
        for run in finished
        if run.control_id and run.baseline_id
    }
    reference_ids = {id_ for run in finished for id_ in run.reference_ids}
    own = [run for run in runs if run.identity and run.id not in reference_ids and not run.refit]
    columns = varied_settings([flats[str(run.folder)] for run in own])
    groups = defaultdict(list)
    for run in finished:
        if run.id not in reference_ids:
            groups[canonical(flats[str(run.folder)])].append(run)
    rows = [_row(group, columns, flats, pairs) for group in groups.values()]
    rows.sort(key=lambda row: (-mean_validation_score(row.runs), _by_settings(row, columns)))
    labels_only = _best_labels_only(finished, rows, columns, flats)
    stored = StoredPredictions()
    rows = with_gains([_with_labels_only(row, labels_only) for row in rows], stored)
    rows = [replace(row, ensemble=ensemble_accuracy(row.runs, stored)) for row in rows]
    for row in rows:
        for run, reference in zip(row.runs, row.labels_only, strict=False):
            pairs[str(run.folder)][LABELS_ONLY] = reference
    probes = [run for run in finished if PROBE in flats[str(run.folder)] and run.id in reference_ids]
    references = _references(rows, columns, flats, [run for runs in labels_only.values() for run in runs], probes)
    references = [replace(group, ensemble=ensemble_accuracy(group.runs, stored)) for group in references]
    return Comparison(
        runs=runs,
        flats={str(run.folder): {} for run in runs} | flats,
        columns=columns,
        rows=rows,
        references=references,
        unfinished=[run for run in runs if not run.done],
        references_of=pairs,
        roles=_roles(references) | {run.id: REFIT for run in runs if run.refit},
        data_set=data_set,
        stability=_stability(rows, columns, stored),
        select_by=runs[0].select_by if runs else ACCURACY,
        selection_note=selection_note(runs, compared),
    )


def _compared(runs: list[Run]) -> list[Run]:
    """List the finished runs that have an accuracy and are not reference runs of others."""
    finished = [run for run in runs if run.is_comparable]
    reference_ids = {id_ for run in finished for id_ in run.reference_ids}
    return [run for run in finished if run.id not in reference_ids]


def _candidates(rows: list[Row]) -> list[Row]:
    """Return the rows that can be the best row: those that use unlabeled images, or all rows if there are none."""
    return [row for row in rows if row.controls] or rows


def _by_settings(row: Row, columns: list[str]) -> list[tuple[int, float, str]]:
    """Compute a sort key from the settings of a row, for rows with equal accuracy."""
    return [sort_key(row.settings.get(key)) for key in columns]


def _stability(rows: list[Row], columns: list[str], stored: StoredPredictions) -> tuple[SelectionStability, ...]:
    candidates = _candidates(rows)
    if not candidates:
        return ()
    ordered = sorted(candidates, key=lambda row: _by_settings(row, columns))
    return selection_stability([row.runs for row in ordered], ordered.index(candidates[0]), stored)


def _best_labels_only(
    finished: list[Run], rows: list[Row], columns: list[str], flats: dict[str, FlatSettings]
) -> dict[Replicate, list[Run]]:
    """Choose the labels-only setting with the best mean validation score.

    Only the settings with the largest number of finished (seed, fold) pairs are considered. Runs that differ only in
    the number of optimizer steps count as one setting, unless the user varied the number of steps.

    Args:
        finished: all finished runs, including reference runs.
        rows: the rows of the comparison.
        columns: keys of the settings that differ between the runs.
        flats: run folder -> settings.

    Returns:
        (seed, fold) -> runs of the chosen setting, which may differ in the number of steps; {} if there is no such
        setting.
    """
    compared = [run for row in rows if row.controls for run in row.runs]
    replicates = {run.replicate for run in compared}
    full_length = {id_ for run in compared for id_ in (run.control_id, *run.labels_only_ids)}
    short = {run.baseline_id for run in compared} - full_length  # only for the steps that the run spent on labels
    by_length = any(key in columns for key in LENGTHS)
    groups: dict[tuple[bool, str], dict[Replicate, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in finished:
        if not run.uses_unlabeled and run.replicate in replicates:
            flat = flats[str(run.folder)]
            key = canonical(flat) if by_length else settings_but_length(flat)
            groups[run.id in short, key][run.replicate].append(run)
    most = max((len(group) for group in groups.values()), default=0)
    candidates = [groups[key] for key in sorted(groups) if len(groups[key]) == most]

    def validation(group: dict[Replicate, list[Run]]) -> float:
        return mean_validation_score([run for runs in group.values() for run in runs])

    return max(candidates, key=validation, default={})


def _with_labels_only(row: Row, labels_only: Mapping[Replicate, list[Run]]) -> Row:
    """Pair each run of a row with the labels-only run of the same seed that has the closest number of steps.

    Args:
        labels_only: (seed, fold) -> runs of the best labels-only setting.
    """
    if not row.controls:
        return row

    def closest(run: Run) -> Run | None:
        steps = run.number("steps") or 0
        others = labels_only.get(run.replicate, [])
        return min(others, key=lambda other: abs((other.number("steps") or 0) - steps), default=None)

    return replace(row, labels_only=tuple(pair_runs(run, closest(run)) for run in row.runs))


def with_gains(rows: list[Row], stored: StoredPredictions) -> list[Row]:
    """Return copies of the rows with their gains over the controls, the best labels-only runs and the baselines."""
    splits = [row.split for row in rows]
    gains: list[dict[str, Gain]] = [{} for _ in rows]
    for kind in KINDS:
        pairs = [
            [
                Pair(run, other, points)
                for run, reference in zip(row.runs, row.references(kind), strict=False)
                if (other := reference.finished) and (points := _difference(run, other, row.split)) is not None
            ]
            for row in rows
        ]
        for number, gain in enumerate(estimate_gains(pairs, splits, stored)):
            if gain is not None:
                gains[number][kind] = gain
    return [replace(row, gains=of_row) for row, of_row in zip(rows, gains, strict=True)]


def split_of(runs: Iterable[Run]) -> str:
    """Return `test` if every run has a test accuracy, else `validation`."""
    return "test" if all(run.accuracy("test") is not None for run in runs) else "validation"


def _one_each(runs: list[Run]) -> list[Run]:
    """Keep one run for each run id; a run can be stored in several folders."""
    return list({run.id: run for run in reversed(runs)}.values())[::-1]


def _row(
    group: list[Run],
    columns: list[str],
    flats: dict[str, FlatSettings],
    pairs: dict[str, dict[str, ReferenceGain]],
) -> Row:
    runs = tuple(sorted({run.replicate: run for run in reversed(group)}.values(), key=lambda run: run.replicate))
    flat = flats[str(runs[0].folder)]
    gains = [pairs[str(run.folder)] for run in runs if str(run.folder) in pairs]
    controls, baselines = tuple(pair[CONTROL] for pair in gains), tuple(pair[BASELINE] for pair in gains)
    return Row({key: flat[key] for key in columns if key in flat}, runs, controls, baselines)


def pair_runs(run: Run, other: Run | None) -> ReferenceGain:
    """Compute the gain of a finished run over a reference run of the same seed.

    The gain is measured on the test set if both runs have a test accuracy, else on the validation set. Both runs must
    have the same `select_by`.
    """
    if other is None or not other.done:
        return ReferenceGain(other, None)
    return ReferenceGain(other, _difference(run, other, split_of((run, other))))


def _difference(run: Run, other: Run, split: str) -> float | None:
    """Compute the accuracy, or balanced accuracy, of `run` minus that of `other`, in percentage points.

    Returns:
        None if one of the runs has no accuracy on this split.
    """
    accuracy, reference = run.score(split), other.score(split)
    return None if accuracy is None or reference is None else 100 * (accuracy - reference)


def _references(
    rows: list[Row], columns: list[str], flats: dict[str, FlatSettings], labels_only: list[Run], probes: list[Run]
) -> list[ReferenceGroup]:
    """Group the reference runs by kind and settings: controls, best labels-only runs, baselines, then probes.

    Probes are classifiers fitted to the features of an encoder.
    """
    groups: dict[tuple[str, str], dict[str, Run]] = defaultdict(dict)
    for row in rows:
        for kind in (CONTROL, BASELINE):
            for run in filter(None, (pair.finished for pair in row.references(kind))):
                groups[kind, settings_but_length(flats[str(run.folder)])][run.id] = run
    shown = [key for key in columns if not key.startswith(("train.", "method.", "threshold."))]
    references = []
    for (kind, _), group in groups.items():
        runs = tuple(group.values())
        keys = [key for key in shown if kind == CONTROL or not key.startswith("augment.")]
        references.append(ReferenceGroup(kind, _named(flats[str(runs[0].folder)], keys), runs))
    references = _with_differences(references, columns, flats)
    if labels_only:
        flat = flats[str(labels_only[0].folder)]
        names = ["method.name", "augment.name", "augment.strength"]
        settings = {PROBE: flat[PROBE]} if PROBE in flat else _named(flat, names)
        references.append(ReferenceGroup(LABELS_ONLY, settings, tuple(labels_only)))
    for run in probes:
        flat = flats[str(run.folder)]
        groups[NAMES[flat[PROBE]], settings_but_length(flat)][run.id] = run
    references += [
        ReferenceGroup(kind, {}, tuple(group.values())) for (kind, _), group in groups.items() if kind not in KINDS
    ]
    order = [*KINDS, *NAMES.values()]
    references.sort(key=lambda group: (order.index(group.kind), [sort_key(group.settings.get(key)) for key in shown]))
    return references


def _with_differences(
    references: list[ReferenceGroup], columns: list[str], flats: dict[str, FlatSettings]
) -> list[ReferenceGroup]:
    """Add the settings in which reference runs of one kind differ, if they have the same settings so far."""
    alike: dict[tuple[str, str], list[FlatSettings]] = defaultdict(list)
    for group in references:
        alike[group.kind, canonical(group.settings)].append(flats[str(group.runs[0].folder)])
    result = []
    for group in references:
        others, own = alike[group.kind, canonical(group.settings)], flats[str(group.runs[0].folder)]
        keys = [key for key in columns if len({canonical(flat.get(key)) for flat in others}) > 1]
        result.append(replace(group, settings=group.settings | _named(own, keys)))
    return result


def _named(flat: FlatSettings, keys: list[str]) -> FlatSettings:
    return {key: flat[key] for key in keys if key in flat}


def _roles(references: list[ReferenceGroup]) -> dict[str, str]:
    """Map the id of each reference run to its kinds, such as `control` or `control and best labels-only`."""
    kinds: dict[str, dict[str, None]] = defaultdict(dict)
    for group in references:
        for run in group.runs:
            kinds[run.id][group.name] = None
    return {id_: " and ".join(names) for id_, names in kinds.items()}


def over_seeds(runs: Iterable[Run], split: str) -> Spread | None:
    """Compute mean and spread of the accuracy, or balanced accuracy, over seeds.

    Several runs with the same seed are averaged first.
    """
    return _over_seeds(runs, lambda run: run.score(split))


def mean_validation_score(runs: Iterable[Run]) -> float:
    """Average the validation scores of runs over seeds; -inf if no run has one. Higher is better.

    Several runs with the same seed are averaged first.
    """
    value = _over_seeds(runs, lambda run: run.validation_score)
    return value.mean if value else -math.inf


def _over_seeds(runs: Iterable[Run], value: Callable[[Run], float | None]) -> Spread | None:
    by_seed: dict[Replicate, list[float | None]] = defaultdict(list)
    for run in {run.id: run for run in runs}.values():
        by_seed[run.replicate].append(value(run))
    means = [summarize(values) for values in by_seed.values()]
    return summarize(spread.mean for spread in means if spread)
