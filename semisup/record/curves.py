"""Write and read what_if.csv (accuracy by threshold) and classes.csv (counts by class) of a run.

what_if.csv      step, epoch, on, tau, coverage, accuracy: the pseudo-labels that each threshold tau would select, one
                 line per threshold. `on` is the set of images: `validation`, or `pool` for the unlabeled set
classes.csv      round, epoch, step, class, labeled, kept, coverage, accuracy, threshold: one line per round and class

`accuracy` is empty if no selected image has a known true class.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from semisup.core.events import PoolLabeled
from semisup.core.threshold_curve import THRESHOLDS
from semisup.core.types import ThresholdCurve

VALIDATION, POOL = "validation", "pool"
CURVES = ("step", "epoch", "on", "tau", "coverage", "accuracy")
CLASSES = ("round", "epoch", "step", "class", "labeled", "kept", "coverage", "accuracy", "threshold")


class EvalThresholdCurve(NamedTuple):
    """Threshold curve (coverage and accuracy by threshold) of a set of images, with its step and epoch.

    on: the set of images: `validation`, or `pool` for the unlabeled set
    """

    step: int
    epoch: int
    on: str
    curve: ThresholdCurve


def curve_rows(point: EvalThresholdCurve) -> Iterable[tuple[object, ...]]:
    """Yield the lines of what_if.csv for one threshold curve."""
    for tau, coverage, accuracy in zip(THRESHOLDS, point.curve.coverage, point.curve.accuracy, strict=True):
        yield point.step, point.epoch, point.on, f"{tau:g}", f"{coverage:.6g}", _share(accuracy)


def written_curves(path: Path) -> set[tuple[int, str]]:
    """Read which threshold curves what_if.csv has: (step, name of the split) of each; empty if the file is missing."""
    if not path.exists():
        return set()
    with open(path, newline="", encoding="utf-8") as file:
        next(file, None)  # the header
        rows = {tuple(line.split(",", 3)[:3]) for line in file}
    return {(int(step), split) for step, _, split in rows}


def read_curves(path: Path) -> list[EvalThresholdCurve]:
    """Read the threshold curves of what_if.csv in the order of the file; [] if the file is missing."""
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
    """Yield the lines of classes.csv for one labeling of the unlabeled set."""
    position = (event.round, event.epoch, event.step)
    for name, labeled, selected, known, correct, threshold in zip(classes, *event.classes, strict=True):
        coverage, accuracy = selected / labeled if labeled else None, correct / known if known else None
        yield *position, name, labeled, selected, _share(coverage), _share(accuracy), f"{threshold:.6g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
