"""What a run folder tells beyond its summary; read only of the few runs that are drawn one by one.

As in `_runs`, nothing here raises: what is missing or broken is as if it had never been written.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from semisup.analysis.runs import NOT_DATA, Run, as_number
from semisup.record.curves import POOL, VALIDATION
from semisup.record.reader import MAX_LINE_BYTES, open_regular_file, parse_json, read_json

FARTHEST = 1e12  # steps; more is no number of steps, and an axis that ends there shows nothing


class RoundPoint(NamedTuple):
    """`pseudo/accuracy` is None where the true classes are not known."""

    coverage: float
    pseudo_accuracy: float | None


class Prediction(NamedTuple):
    """What the chosen model says of one image of known class."""

    path: str
    target: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class History:
    """accuracy: step, validation accuracy of each evaluation; rounds: of each labeling of the pool, in order."""

    accuracy: list[tuple[float, float]]
    rounds: list[RoundPoint]


@dataclass(frozen=True)
class ThresholdTradeoff:
    """What every threshold would keep at the last step that was looked at: tau -> coverage, and -> accuracy."""

    coverage: list[tuple[float, float]]
    accuracy: list[tuple[float, float]]


def history(folder: Path) -> History:
    """What was evaluated and labeled, and when."""
    found = History([], [])
    for row in read_metric_rows(folder):
        step, accuracy = as_number(row.get("step")), _share(row.get("val/accuracy"))
        if accuracy is not None and step is not None and 0 <= step <= FARTHEST:
            found.accuracy.append((step, accuracy))
        coverage = _share(row.get("pseudo/coverage"))
        if coverage is not None:
            found.rounds.append(RoundPoint(coverage, _share(row.get("pseudo/accuracy"))))
    return found


def first_selection(folder: Path) -> tuple[float, bool] | None:
    """The step of the first pseudo-labels that counted, and whether the pool was labeled after that step; else they
    were used in the steps up to it, which had unlabeled images then. None where there were none."""
    used = False
    for row in read_metric_rows(folder):
        if "val/accuracy" in row:
            used = as_number(row.get("train/unlabeled_loss")) is not None
        step = as_number(row.get("step"))
        if step is not None and (as_number(row.get("pseudo/coverage")) or 0) > 0:
            return step, not used
    return None


def chosen_before_selection(run: Run) -> tuple[float, float] | None:
    """The step of the chosen weights and that of the first pseudo-labels, where the weights owe them nothing."""
    chosen, first = as_number(run.summary.get("best/step")), first_selection(run.folder)
    if chosen is None or first is None:
        return None
    step, afterwards = first
    return (chosen, step) if chosen < step or (afterwards and chosen == step) else None


def class_names(folder: Path) -> list[str]:
    """The names of the classes, in the order of the confusion counts."""
    dataset = (read_json(folder / "run.json") or {}).get("dataset")
    names = dataset.get("classes") if isinstance(dataset, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def fingerprint(folder: Path) -> str | None:
    """Of the run's data set."""
    dataset = (read_json(folder / "run.json") or {}).get("dataset")
    value = dataset.get("fingerprint") if isinstance(dataset, dict) else None
    return value if isinstance(value, str) else None


def confusion_matrix(run: Run, split: str, count: int) -> list[list[int]] | None:
    """`count` rows (true class) of as many counts (predicted class)."""
    by_split = run.summary.get("confusion")
    rows = by_split.get(split) if isinstance(by_split, dict) else None
    if not isinstance(rows, list) or len(rows) != count:
        return None
    counts = [
        [int(as_number(each) or 0) for each in row] for row in rows if isinstance(row, list) and len(row) == count
    ]
    return counts if len(counts) == count else None


def read_predictions(folder: Path, split: str) -> list[Prediction] | None:
    """The rows of predictions.csv of one split whose true class is known; None where there is no such file."""
    if not (folder / "predictions.csv").is_file():
        return None
    found = []
    for row in _table(folder / "predictions.csv"):
        confidence = _share(_number(row.get("confidence")))
        path, target, predicted = (row.get(name) for name in ("path", "class", "predicted"))
        if row.get("split") == split and path and target and predicted and confidence is not None:
            found.append(Prediction(path, target, predicted, confidence))
    return found


def read_threshold_curves(folder: Path) -> dict[str, ThresholdTradeoff]:
    """From what_if.csv, for validation and for the pool, as far as it tells of them."""
    last: dict[str, tuple[float, ThresholdTradeoff]] = {}
    for row in _table(folder / "what_if.csv"):
        on, step = row.get("on"), _number(row.get("step"))
        tau, coverage, accuracy = (_share(_number(row.get(name))) for name in ("tau", "coverage", "accuracy"))
        if on not in (VALIDATION, POOL) or step is None or tau is None or coverage is None:
            continue
        if on not in last or last[on][0] != step:
            last[on] = step, ThresholdTradeoff([], [])
        last[on][1].coverage.append((tau, coverage))
        if accuracy is not None:
            last[on][1].accuracy.append((tau, accuracy))
    return {on: trade for on, (_, trade) in last.items()}


def last_class_rows(folder: Path) -> list[dict[str, Any]]:
    """From classes.csv, the lines of its last round: the class's name, and numbers or None."""
    last: tuple[str | None, list[dict[str, Any]]] = (None, [])
    for row in _table(folder / "classes.csv"):
        if row.get("round") != last[0]:
            last = row.get("round"), []
        numbers = {name: _number(row.get(name)) for name in ("labeled", "kept", "coverage", "accuracy", "threshold")}
        last[1].append({"class": str(row.get("class")), **numbers})
    return last[1]


def read_metric_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl that tell of an evaluation or a labeling."""
    try:
        with open_regular_file(folder / "metrics.jsonl") as file:
            while line := file.readline(MAX_LINE_BYTES):
                if b'"val/accuracy"' not in line and b'"pseudo/coverage"' not in line:
                    continue
                value = parse_json(line)
                if isinstance(value, dict):
                    yield value
    except (OSError, *NOT_DATA):
        return


def _table(path: Path) -> Iterator[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
    except (OSError, csv.Error, *NOT_DATA):
        return


def _number(text: str | None) -> float | None:
    try:
        return as_number(float(text or ""))
    except ValueError:
        return None


def _share(value: Any) -> float | None:
    """A number in [0, 1], else None."""
    found = as_number(value)
    return found if found is not None and 0 <= found <= 1 else None
