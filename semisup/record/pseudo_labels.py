"""pseudo_labels.csv: what the images of the pool were labeled as, round by round.

round, epoch, step, path, class, confidence, weight, kept: a line for each image that was labeled.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from semisup.core.csv_cells import restore_cell
from semisup.core.events import PoolLabeled
from semisup.record.append_log import escape_line

COLUMNS = ("round", "epoch", "step", "path", "class", "confidence", "weight", "kept")


class PseudoLabelRow(NamedTuple):
    """What one unlabeled image was labeled as: which one it is, its class by name, confidence and weight in [0, 1]."""

    number: int
    target: str
    confidence: float
    weight: float


def label_rows(event: PoolLabeled, paths: list[str], classes: tuple[str, ...]) -> Iterable[tuple[object, ...]]:
    """The lines of one labeling; `paths` are of all images of the pool."""
    position = (event.round, event.epoch, event.step)
    labels, chosen = event.labels, event.selection
    each = zip(paths, chosen.targets.tolist(), labels.confidence.tolist(), chosen.weight.tolist(), strict=True)
    return (
        (*position, path, classes[target], sure, weight, int(weight > 0))
        for path, target, sure, weight in each
        if target >= 0
    )


def last_round(path: Path, paths: list[str]) -> list[PseudoLabelRow]:
    """The pseudo-labels of the last round in the file; [] where there was none."""
    if not path.exists():
        return []
    numbers = {escape_line(each): number for number, each in enumerate(paths)}
    last: list[PseudoLabelRow] = []
    round_ = ""
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["round"] != round_:
                last, round_ = [], row["round"]
            label = PseudoLabelRow(
                numbers[restore_cell(row["path"])],
                restore_cell(row["class"]),
                float(row["confidence"]),
                float(row["weight"]),
            )
            last.append(label)
    return last
