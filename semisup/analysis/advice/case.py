"""Group finished runs into cases: runs on the same data with the same number of labels per class."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.datasets import dataset_label
from semisup.analysis.run_settings import LABELS, canonical
from semisup.analysis.runs import Run, as_number
from semisup.analysis.stored_predictions import StoredPredictions
from semisup.config.run_id import dataset_keys
from semisup.dataset import KeyRole
from semisup.record.reader import read_json


class NoFinding(NamedTuple):
    """Result of a check of the runs that has no advice for the user.

    check: name of the check
    missing: what the check needs and the runs do not have, so that it was not made; "" if it was made and found nothing
    """

    check: str
    missing: str = ""


@dataclass(frozen=True)
class Case:
    """Finished runs on the same data with the same number of labels per class.

    folder: the folder that contains the runs, as the user typed it
    comparison: comparison of the runs, with at least one row; if some runs use unlabeled images, the rows of the others
        are left out
    fewer: finished runs on the same data with fewer labels per class
    stored: cache of the predictions that the runs stored
    label: name of the data set, followed by those of its settings that differ from the other cases
    alone: whether the folder contains no other case
    """

    folder: Path
    comparison: Comparison
    fewer: tuple[Run, ...]
    stored: StoredPredictions
    label: str
    alone: bool


def split_cases(runs: Sequence[Run], folder: Path) -> list[Case]:
    """Group the finished runs that have an accuracy into cases, sorted by data set and number of labels.

    If at least one case has a run that uses unlabeled images, the cases without such runs are left out.
    """
    by_data: dict[str, dict[int | None, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run.done and not run.refit:
            by_data[canonical(_data(run))][run.identity["dataset"].get(LABELS)].append(run)
    groups = [
        (by_labels, labels) for _, by_labels in sorted(by_data.items()) for labels in sorted(by_labels, key=_size)
    ]
    groups = [each for each in groups if any(run.uses_unlabeled for run in each[0][each[1]])] or groups
    settings = [_data(by_labels[labels][0]) | {LABELS: labels} for by_labels, labels in groups]
    cases = []
    for (by_labels, labels), own in zip(groups, settings, strict=True):
        comparison = _with_short_names(compare_runs(by_labels[labels]))
        if comparison.rows:
            less = (run for each in by_labels if _size(each) < _size(labels) for run in by_labels[each])
            fewer = tuple(replace(run, select_by=comparison.select_by) for run in less)
            label = " ".join([dataset_label(by_labels[labels][0]), *_differing(own, settings)])
            cases.append(Case(folder, comparison, fewer, StoredPredictions(), label, len(groups) == 1))
    return cases


def image_count(run: Run, split: str) -> int | None:
    """Return how many images of a split (`labeled`, `unlabeled`, ...) a run had; None if run.json does not say so."""
    dataset = (read_json(run.folder / "run.json") or {}).get("dataset")
    counts = dataset.get("counts") if isinstance(dataset, dict) else None
    count = as_number(counts.get(split)) if isinstance(counts, dict) else None
    return int(count) if count is not None and count > 0 else None


def _with_short_names(comparison: Comparison) -> Comparison:
    """Return a comparison whose rows keep only the settings in which they differ, so that the row names are short.

    Rows of labels-only runs are removed, unless there are no other rows.
    """
    rows = [row for row in comparison.rows if row.controls] or comparison.rows
    keys = [key for key in comparison.columns if len({canonical(row.settings.get(key)) for row in rows}) > 1]
    short = [replace(row, settings={key: row.settings[key] for key in keys if key in row.settings}) for row in rows]
    return replace(comparison, rows=short)


def _data(run: Run) -> dict[str, Any]:
    """Return the settings of a run's data set, without the number of labels, the seed of the split and the fold."""
    dataset = run.identity["dataset"]
    ignored = {LABELS, *dataset_keys(dataset, KeyRole.SPLIT_SEED, KeyRole.FOLD)}
    return {key: value for key, value in dataset.items() if key not in ignored}


def _size(labels: int | None) -> float:
    return float("inf") if labels is None else labels


def _differing(own: dict[str, Any], every: list[dict[str, Any]]) -> list[str]:
    """Format the settings in which a data set differs from others of the same name, as `dataset.KEY=VALUE`.

    Args:
        own: settings of the data set.
        every: settings of all data sets.
    """
    same = [each for each in every if each.get("name") == own.get("name")]
    keys = [key for key in own if len({canonical(each.get(key)) for each in same}) > 1]
    return [f"dataset.{key}={canonical(own[key]).strip(chr(34))}" for key in keys]
