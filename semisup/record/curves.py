"""The two tables of a labeling of the pool: what every threshold would keep, and what became of every class.

what_if.csv      step, epoch, on (validation or pool), tau, coverage, accuracy: of each labeling of the pool, of the
                 evaluation just before it, and of the chosen model (at `best/step`) on validation
classes.csv      round, epoch, step, class, labeled, kept, coverage, accuracy, threshold: one line a class and labeling

Accuracy is empty where no kept image's class is known.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from semisup.core.csv_cells import protect_cell
from semisup.core.events import PoolLabeled
from semisup.core.threshold_curve import THRESHOLDS
from semisup.core.types import ThresholdCurve

VALIDATION, POOL = "validation", "pool"
CURVES = ("step", "epoch", "on", "tau", "coverage", "accuracy")
CLASSES = ("round", "epoch", "step", "class", "labeled", "kept", "coverage", "accuracy", "threshold")


class EvalThresholdCurve(NamedTuple):
    """One curve of a run: whose, and on which images."""

    step: int
    epoch: int
    on: str
    curve: ThresholdCurve


def curve_rows(found: EvalThresholdCurve) -> Iterable[tuple[object, ...]]:
    """The lines of what_if.csv for one curve."""
    for tau, covered, right in zip(THRESHOLDS, found.curve.coverage, found.curve.accuracy, strict=True):
        yield found.step, found.epoch, found.on, f"{tau:g}", f"{covered:.6g}", _share(right)


def read_curves(path: Path) -> list[EvalThresholdCurve]:
    """The curves in what_if.csv, as they were written; [] without that file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    blocks = [rows[begin : begin + len(THRESHOLDS)] for begin in range(0, len(rows), len(THRESHOLDS))]
    return [
        EvalThresholdCurve(
            int(block[0]["step"]),
            int(block[0]["epoch"]),
            block[0]["on"],
            ThresholdCurve(
                [float(row["coverage"]) for row in block],
                [float(row["accuracy"]) if row["accuracy"] else None for row in block],
            ),
        )
        for block in blocks
    ]


def class_rows(event: PoolLabeled, classes: tuple[str, ...]) -> Iterable[tuple[object, ...]]:
    """The lines of classes.csv for one labeling."""
    position = (event.round, event.epoch, event.step)
    for name, labeled, kept, known, right, threshold in zip(classes, *event.classes, strict=True):
        coverage, accuracy = kept / labeled if labeled else None, right / known if known else None
        yield *position, name, labeled, kept, _share(coverage), _share(accuracy), f"{threshold:.6g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def csv_text(rows: Iterable[tuple[object, ...]]) -> str:
    """The rows as CSV, with text cells that no spreadsheet executes."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([protect_cell(value) for value in row] for row in rows)
    return buffer.getvalue()
