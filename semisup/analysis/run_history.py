"""Read the history of one run: evaluations, labelings, predictions, threshold curves and per-class counts.

If a file is missing or damaged, the functions return the part that can be read, without an error.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from semisup.analysis.runs import PARSE_ERRORS, Run, as_number
from semisup.core.csv_cells import restore_cell
from semisup.record.curves import POOL, VALIDATION
from semisup.record.reader import MAX_LINE_BYTES, open_regular_file, parse_json, read_json

MAX_POSITION = 1e12
"""Largest step, epoch or round that is accepted; larger ones are treated as damaged."""


class RoundPoint(NamedTuple):
    """Coverage and accuracy of the pseudo-labels of one labeling; the accuracy is None if true classes are unknown."""

    coverage: float
    pseudo_accuracy: float | None


class Prediction(NamedTuple):
    """Prediction of a run's best model for one image whose true class is known."""

    path: str
    target: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class History:
    """Evaluations and labelings of a run.

    accuracy: (step, validation accuracy) of each evaluation
    rounds: one point for each labeling, in order
    """

    accuracy: list[tuple[float, float]]
    rounds: list[RoundPoint]


class SplitCurve(NamedTuple):
    """Coverage and accuracy of the pseudo-labels that each threshold tau would have selected.

    step: step of the labeling or evaluation
    split: `validation`, or `pool` for the unlabeled set
    coverage, accuracy: pairs (tau, coverage) and (tau, accuracy), all values in [0, 1]
    """

    step: int
    split: str
    coverage: list[tuple[float, float]]
    accuracy: list[tuple[float, float]]


def history(folder: Path) -> History:
    """Read the validation accuracies of a run, and the coverage of each of its labelings."""
    result = History([], [])
    for row in read_metric_rows(folder):
        step, accuracy = position(row.get("step")), _share(row.get("val/accuracy"))
        if accuracy is not None and step is not None:
            result.accuracy.append((step, accuracy))
        coverage = _share(row.get("pseudo/coverage"))
        if coverage is not None:
            result.rounds.append(RoundPoint(coverage, _share(row.get("pseudo/accuracy"))))
    return result


def first_selection(folder: Path) -> tuple[float, bool] | None:
    """Find the first labeling that selected a pseudo-label.

    Returns:
        (step, later): step of the labeling, and whether the run trained on these pseudo-labels later (True, for methods
        that label the whole unlabeled set) or before (False, for methods that label a batch at every step). None if no
        labeling selected a pseudo-label.
    """
    used_before = False
    for row in read_metric_rows(folder):
        if "val/accuracy" in row:
            used_before = as_number(row.get("train/unlabeled_loss")) is not None
        step = position(row.get("step"))
        if step is not None and (as_number(row.get("pseudo/coverage")) or 0) > 0:
            return step, not used_before
    return None


def chosen_before_selection(run: Run) -> tuple[float, float] | None:
    """Check whether the best model of a run is from a step before the first use of pseudo-labels.

    Returns:
        The step of the best model, and the step of the first used pseudo-labels; None if the best model is later.
    """
    chosen, first = position(run.summary.get("best/step")), first_selection(run.folder)
    if chosen is None or first is None:
        return None
    step, afterwards = first
    return (chosen, step) if chosen < step or (afterwards and chosen == step) else None


def class_names(folder: Path) -> list[str]:
    """Read the class names of a run, in the order of the rows of its confusion matrices."""
    dataset = (read_json(folder / "run.json") or {}).get("dataset")
    names = dataset.get("classes") if isinstance(dataset, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def confusion_matrix(run: Run, split: str, count: int) -> list[list[int]] | None:
    """Read a confusion matrix from a run's summary: rows are true classes, columns predicted classes.

    Returns:
        `count` rows of `count` numbers of images; None if the summary has no matrix of this shape.
    """
    by_split = run.summary.get("confusion")
    rows = by_split.get(split) if isinstance(by_split, dict) else None
    if not isinstance(rows, list) or len(rows) != count:
        return None
    counts = [
        [int(max(as_number(value) or 0, 0)) for value in row]
        for row in rows
        if isinstance(row, list) and len(row) == count
    ]
    return counts if len(counts) == count else None


def read_predictions(folder: Path, split: str) -> list[Prediction] | None:
    """Read a run's stored predictions for its validation or test images whose true class is known.

    Returns:
        None if there is no predictions.csv.
    """
    if not (folder / "predictions.csv").is_file():
        return None
    return [row for _, name, row in iter_predictions(folder) if name == split and row is not None]


def iter_predictions(folder: Path) -> Iterator[tuple[int, str, Prediction | None]]:
    """Yield (index of the row from 0, split, prediction) for each row of predictions.csv.

    The prediction is None if the row is damaged or has no true class.
    """
    for number, row in enumerate(_read_csv(folder / "predictions.csv")):
        prediction, confidence = None, _share(_number(row.get("confidence")))
        path, target, predicted = (row.get(name) for name in ("path", "class", "predicted"))
        if path and target and predicted and confidence is not None:
            prediction = Prediction(path, target, predicted, confidence)
        yield number, str(row.get("split")), prediction


def read_threshold_curves(folder: Path) -> list[SplitCurve]:
    """Read a run's threshold curves from what_if.csv, in the order in which they were written."""
    return _threshold_curves(_read_csv(folder / "what_if.csv"))


def last_threshold_curve(folder: Path, split: str) -> SplitCurve | None:
    """Read the last threshold curve of a split from a run's what_if.csv; None if there is none.

    Converting the numbers of all curves would take as long as writing the whole run directory.
    """
    last: list[dict[str, str]] = []
    for row in _raw_rows(folder / "what_if.csv"):
        if row.get("on") != split:
            continue
        if last and row.get("step") == last[-1].get("step"):
            last.append(row)
        elif position(_number(row.get("step"))) is not None:
            last = [row]
    curves = _threshold_curves(last)
    return curves[-1] if curves else None


def _threshold_curves(rows: Iterable[dict[str, str]]) -> list[SplitCurve]:
    curves: list[SplitCurve] = []
    for row in rows:
        split, step = row.get("on"), position(_number(row.get("step")))
        tau, coverage, accuracy = (_share(_number(row.get(name))) for name in ("tau", "coverage", "accuracy"))
        if split not in (VALIDATION, POOL) or step is None or tau is None or coverage is None:
            continue
        if not curves or (curves[-1].split, curves[-1].step) != (split, int(step)):
            curves.append(SplitCurve(int(step), split, [], []))
        curves[-1].coverage.append((tau, coverage))
        if accuracy is not None:
            curves[-1].accuracy.append((tau, accuracy))
    return curves


def last_class_rows(folder: Path) -> list[dict[str, Any]]:
    """Read from classes.csv one row for each class: its pseudo-label counts and rates in the last labeling.

    Keys: class, labeled, kept, coverage, accuracy, threshold; a missing number is None.
    """
    last: tuple[str | None, list[dict[str, Any]]] = (None, [])
    for row in _read_csv(folder / "classes.csv"):
        if row.get("round") != last[0]:
            last = row.get("round"), []
        numbers = {name: _number(row.get(name)) for name in ("labeled", "kept", "coverage", "accuracy", "threshold")}
        last[1].append({"class": str(row.get("class")), **numbers})
    return last[1]


def read_metric_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the evaluations and labelings in a run's metrics.jsonl, up to the first damaged line."""
    try:
        with open_regular_file(folder / "metrics.jsonl") as file:
            while line := file.readline(MAX_LINE_BYTES):
                if b'"val/accuracy"' not in line and b'"pseudo/coverage"' not in line:
                    continue
                value = parse_json(line)
                if isinstance(value, dict):
                    yield value
    except (OSError, *PARSE_ERRORS):
        return


def position(value: object) -> float | None:
    """Convert the index of a step, epoch or labeling, as read from a file; None if it is not in [0, MAX_POSITION]."""
    number = as_number(value)
    return number if number is not None and 0 <= number <= MAX_POSITION else None


def _read_csv(path: Path) -> Iterator[dict[str, str]]:
    for row in _raw_rows(path):
        yield {name: restore_cell(cell) if isinstance(cell, str) else cell for name, cell in row.items()}


def _raw_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file up to the first damaged one; `restore_cell` is not applied to the cells."""
    try:
        with open_regular_file(path) as raw:
            yield from csv.DictReader(line.decode("utf-8") for line in raw)
    except (OSError, csv.Error, *PARSE_ERRORS):
        return


def _number(text: str | None) -> float | None:
    try:
        return as_number(float(text or ""))
    except (TypeError, ValueError):
        return None


def _share(value: Any) -> float | None:
    """Convert `value` to a number; return None if it is not a number in [0, 1]."""
    number = as_number(value)
    return number if number is not None and 0 <= number <= 1 else None
