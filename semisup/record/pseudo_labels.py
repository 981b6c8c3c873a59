"""Write and read pseudo_labels.csv: the pseudo-labels of the unlabeled set in every labeling round.

The columns are round, epoch, step, path, class, confidence, weight, kept (1 if the weight is positive), and score (only
if the setting `reject` is used). The file has one line for each image and each round in which the image got a
pseudo-label.
"""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from semisup.core.csv_cells import protect_cell, restore_cell
from semisup.core.events import PoolLabeled
from semisup.text import escape_line

QUOTED = ',"\r\n'
"""Characters for which the csv module may quote a cell."""

COLUMNS = ("round", "epoch", "step", "path", "class", "confidence", "weight", "kept")
SCORE = "score"
"""Last column, if images can be rejected: the score by which `reject` decides."""


class PseudoLabelRow(NamedTuple):
    """The pseudo-label of one unlabeled image.

    number: index of the image in the unlabeled set
    target: name of the class
    confidence, weight: in [0, 1]
    """

    number: int
    target: str
    confidence: float
    weight: float


def label_lines(event: PoolLabeled, paths: list[str], classes: list[str]) -> str:
    """Format the lines of pseudo_labels.csv for one labeling of the unlabeled set.

    Args:
        paths: paths of all unlabeled images, each already formatted as a CSV cell.
        classes: names of the classes, each already formatted as a CSV cell.
    """
    # not the csv module, which took four times as long: a run on features has 20,000 lines per labeling
    if event.scores is not None:
        return _scored_lines(event, event.scores.tolist(), paths, classes)
    begin = f"{event.round},{event.epoch},{event.step}"
    labels, chosen = event.labels, event.selection
    each = zip(paths, chosen.targets.tolist(), labels.confidence.tolist(), chosen.weight.tolist(), strict=True)
    return "".join(
        f"{begin},{path},{classes[target]},{sure},{weight},{int(weight > 0)}\n"
        for path, target, sure, weight in each
        if target >= 0
    )


def _scored_lines(event: PoolLabeled, scores: list[float], paths: list[str], classes: list[str]) -> str:
    begin = f"{event.round},{event.epoch},{event.step}"
    labels, chosen = event.labels, event.selection
    columns = chosen.targets.tolist(), labels.confidence.tolist(), chosen.weight.tolist(), scores
    return "".join(
        f"{begin},{path},{classes[target]},{sure},{weight},{int(weight > 0)},{score}\n"
        for path, target, sure, weight, score in zip(paths, *columns, strict=True)
        if target >= 0
    )


def columns(event: PoolLabeled) -> tuple[str, ...]:
    """Return the names of the columns of pseudo_labels.csv: with `score` if `event` has scores."""
    return COLUMNS if event.scores is None else (*COLUMNS, SCORE)


def csv_cell(text: str) -> str:
    """Format a text as a CSV cell that a spreadsheet does not execute as a formula."""
    cell = str(protect_cell(text))
    if not any(character in cell for character in QUOTED):
        return cell
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow((cell, ""))
    return buffer.getvalue()[: -len(",\n")]


def last_round(path: Path, paths: list[str]) -> list[PseudoLabelRow]:
    """Read the pseudo-labels of the last labeling round from pseudo_labels.csv; [] if there was no round.

    Args:
        path: the file.
        paths: paths of all unlabeled images, in the order of the unlabeled set.
    """
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
