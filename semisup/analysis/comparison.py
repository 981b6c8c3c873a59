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

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from semisup.analysis.ensembles import ensemble_accuracy
from semisup.analysis.folds import repeated_by
from semisup.analysis.gains import BASELINE, CONTROL, KINDS, LABELS_ONLY, Gain, Pair, estimate_gains
from semisup.analysis.reference_groups import PROBE, ReferenceGroup, control_name, group_references, roles_of
from semisup.analysis.rows import ReferenceGain, Row, accuracy_difference, pair_runs
from semisup.analysis.run_settings import (
    LABELS,
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
from semisup.analysis.spread import Replicate, mean_validation_score
from semisup.analysis.stored_predictions import StoredPredictions
from semisup.text import shell_quote

REFIT = f"refit: {NO_ACCURACY}"
"""Role of a run with `train.refit`, which trains on the validation images, too."""

UNUSED = "labels-only"
"""Role of a reference run with which no row is compared, because another labels-only setting is better."""


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
    roles: id of a finished reference run -> its kinds, such as `control` or `control and best labels-only`, or UNUSED;
        also, id of a run with `train.refit=true` (trained on labeled and validation images together) -> REFIT
    data_set: name of the data set if several data sets are compared; else ""
    experiment: folder of the experiment if several experiments are compared separately; else None
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
    experiment: Path | None = None

    @property
    def label(self) -> str:
        """Names of the experiment and of the data set, as far as several are compared separately; else ""."""
        experiment = "" if self.experiment is None else shell_quote(self.experiment)
        return ", ".join(filter(None, (experiment, self.data_set)))

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
    labels_only = {
        number: _best_labels_only(own, rows, columns, flats) for number, own in _by_number_of_labels(finished).items()
    }
    stored = StoredPredictions()
    rows = with_gains([_with_labels_only(row, labels_only) for row in rows], stored)
    rows = [replace(row, ensemble=ensemble_accuracy(row.runs, stored)) for row in rows]
    for row in rows:
        for run, reference in zip(row.runs, row.labels_only, strict=False):
            pairs[str(run.folder)][LABELS_ONLY] = reference
    probes = [run for run in finished if PROBE in flats[str(run.folder)] and run.id in reference_ids]
    alone = [[run for runs in best.values() for run in runs] for best in labels_only.values() if best]
    references = group_references(rows, columns, flats, alone, probes)
    references = [replace(group, ensemble=ensemble_accuracy(group.runs, stored)) for group in references]
    return Comparison(
        runs=runs,
        flats={str(run.folder): {} for run in runs} | flats,
        columns=columns,
        rows=rows,
        references=references,
        unfinished=[run for run in runs if not run.done],
        references_of=pairs,
        roles={run.id: UNUSED for run in finished if run.id in reference_ids}
        | roles_of(references)
        | {run.id: REFIT for run in runs if run.refit},
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
    """Choose the labels-only setting with the best mean validation score, of runs with one number of labels per class.

    Only the settings with the largest number of finished (seed, fold) pairs are considered. Runs that differ only in
    the number of optimizer steps count as one setting, unless the user varied the number of steps.

    Args:
        finished: the finished runs with this number of labels per class, including reference runs.
        rows: the rows of the comparison.
        columns: keys of the settings that differ between the runs.
        flats: run folder -> settings.

    Returns:
        (seed, fold) -> runs of the chosen setting, which may differ in the number of steps; {} if there is no such
        setting.
    """
    own = {id(run) for run in finished}
    compared = [run for row in rows if row.controls for run in row.runs if id(run) in own]
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


def _by_number_of_labels(runs: Iterable[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[_number_of_labels(run)].append(run)
    return groups


def _number_of_labels(run: Run) -> str:
    """Return the number of labels per class, as text; runs with different numbers are not alternatives."""
    return canonical(run.identity["dataset"].get(LABELS))


def _with_labels_only(row: Row, labels_only: Mapping[str, Mapping[Replicate, list[Run]]]) -> Row:
    """Pair each run of a row with the labels-only run of the same seed that has the closest number of steps.

    Args:
        labels_only: number of labels per class -> (seed, fold) -> runs of the best labels-only setting.
    """
    if not row.controls:
        return row

    def closest(run: Run) -> Run | None:
        steps = run.number("steps") or 0
        others = labels_only.get(_number_of_labels(run), {}).get(run.replicate, [])
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
                if (other := reference.finished) and (points := accuracy_difference(run, other, row.split)) is not None
            ]
            for row in rows
        ]
        for number, gain in enumerate(estimate_gains(pairs, splits, stored)):
            if gain is not None:
                gains[number][kind] = gain
    return [replace(row, gains=of_row) for row, of_row in zip(rows, gains, strict=True)]


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
