"""Read the pseudo-labels of one run, round by round: selected, gained, lost and relabeled images.

A round is one labeling of the unlabeled set. A damaged file is read up to its first damaged line, without an error.
"""

import csv
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from semisup.analysis.run_history import MAX_POSITION
from semisup.analysis.runs import PARSE_ERRORS
from semisup.core.csv_cells import restore_cell
from semisup.record.pseudo_labels import SCORE
from semisup.record.reader import open_regular_file

COLUMNS = ("round", "epoch", "step", "path", "class", "confidence", "kept")
UNLABELED = -1
"""Class of an image that has had no pseudo-label so far."""


@dataclass
class Round:
    """One labeling of the unlabeled set, with counts of images that compare it with the previous labeling.

    labeled: images with a pseudo-label
    selected: images whose pseudo-label has a weight above 0
    gained: images selected in this round and not in the previous one; in the first round all selected images
    lost: images selected in the previous round and not in this one
    flipped: images selected in both rounds, with different classes
    """

    number: int
    epoch: int
    step: int
    labeled: int = 0
    selected: int = 0
    gained: int = 0
    lost: int = 0
    flipped: int = 0
    selected_by_class: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class ImageLabels:
    """The last pseudo-label of an image, and its earlier classes.

    classes: predicted classes, oldest first; a class that stays the same is not repeated
    selected: whether the last pseudo-label is selected (used with a weight above 0)
    score: score of the image; images with a low score are rejected, as if they belonged to none of the classes; None
        with `reject=none`
    """

    path: str
    classes: tuple[str, ...]
    confidence: float
    selected: bool
    score: float | None = None


@dataclass(frozen=True)
class LabelHistory:
    """Counts of a run's pseudo-labels for each round, and samples of its unlabeled images.

    most_confident, least_confident: the images with the highest and the lowest confidence among those selected in the
        last round (or, if none is selected, among all images with a pseudo-label); no image is in both lists
    flipped: the images whose class changed most often, sorted by the number of changes, then by the confidence, both
        descending
    lowest_scores: the images with the lowest scores (`ImageLabels.score`), in ascending order; empty with `reject=none`
    changed: number of images whose class changed at least once
    any_selected: whether an image was selected in the last round
    """

    rounds: list[Round]
    most_confident: list[ImageLabels]
    least_confident: list[ImageLabels]
    flipped: list[ImageLabels]
    lowest_scores: list[ImageLabels]
    changed: int
    any_selected: bool


def read_label_history(folder: Path, count: int) -> LabelHistory:
    """Read a run's pseudo_labels.csv: counts for each round, and samples of at most `count` images."""
    reader = _Reader()
    try:
        with open_regular_file(folder / "pseudo_labels.csv") as file:
            reader.read(csv.reader(line.decode("utf-8") for line in file))
    except (OSError, csv.Error, *PARSE_ERRORS):
        pass  # a truncated or damaged file is used up to its first damaged line
    reader.end_round()
    return reader.result(count)


class _Reader:
    """Reader of pseudo_labels.csv, which has one row for each image and round.

    The attributes hold the pseudo-labels as of the row that was read last. They are indexed by image; images are
    numbered from 0 in the order in which they first occur in the file.
    """

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}  # path -> number
        self.names: dict[str, int] = {}  # class -> number, in order of appearance
        self.label, self.previous_label = array("i"), array("i")
        self.selected, self.previously_selected = bytearray(), bytearray()
        self.confidence = array("d")
        self.scores: dict[int, float] = {}  # number -> score of `reject`
        self.changes = array("i")
        self.history: dict[int, list[int]] = {}  # number -> classes, for the images whose class changed
        self.rounds: list[Round] = []
        self.open = False

    def read(self, rows: Iterator[list[str]]) -> None:
        header: list[str] = next(rows, [])
        position, epoch, step, path, target, confidence, selected = (header.index(name) for name in COLUMNS)
        score = header.index(SCORE) if SCORE in header else None
        last = None
        for row in rows:
            if row[position] != last:
                self.end_round()
                last = row[position]
                place = [int(row[column]) for column in (position, epoch, step)]
                if not all(0 <= number <= MAX_POSITION for number in place):
                    raise ValueError("the round, epoch or step is out of range")
                self.rounds.append(Round(place[0], place[1], place[2]))
                self.open = True
            number = self._number(row[path])
            self._add(number, restore_cell(row[target]), float(row[confidence]), row[selected] == "1")
            if score is not None:
                self.scores[number] = float(row[score])

    def _number(self, path: str) -> int:
        number = self.numbers.setdefault(path, len(self.numbers))
        if number == len(self.label):
            self.label.append(UNLABELED)
            self.previous_label.append(UNLABELED)
            self.confidence.append(0.0)
            self.changes.append(0)
            self.selected.append(0)
            self.previously_selected.append(0)
        return number

    def _add(self, number: int, target: str, confidence: float, selected: bool) -> None:
        label, now = self.names.setdefault(target, len(self.names)), self.rounds[-1]
        previous = self.previous_label[number]
        self.label[number], self.confidence[number] = label, confidence
        now.labeled += 1
        if label != previous != UNLABELED:
            self.changes[number] += 1
            self.history.setdefault(number, [previous]).append(label)
        if selected:
            self.selected[number] = 1
            now.selected += 1
            now.selected_by_class[target] += 1
            if not self.previously_selected[number]:
                now.gained += 1
            elif label != previous:
                now.flipped += 1

    def end_round(self) -> None:
        """Finish a round: count the images that are no longer selected.

        An image without a pseudo-label in this round keeps its previous class.
        """
        if not self.open:
            return
        self.open = False
        now = self.rounds[-1]
        now.lost = sum(self.previously_selected) - (now.selected - now.gained)
        self.previous_label = array("i", self.label)
        self.previously_selected, self.selected = self.selected, bytearray(len(self.selected))

    def result(self, count: int) -> LabelHistory:
        names, paths = list(self.names), list(map(restore_cell, self.numbers))
        selected = [number for number, flag in enumerate(self.previously_selected) if flag]
        candidates = selected or list(range(len(paths)))

        def labels_of(number: int) -> ImageLabels:
            classes = tuple(names[label] for label in self.history.get(number, [self.previous_label[number]]))
            selected = bool(self.previously_selected[number])
            return ImageLabels(paths[number], classes, self.confidence[number], selected, self.scores.get(number))

        order = sorted(candidates, key=lambda number: -self.confidence[number])
        flipped = sorted(self.history, key=lambda number: (-self.changes[number], -self.confidence[number]))
        most, least = order[:count], (order[count:][-count:] if count else [])[::-1]
        return LabelHistory(
            rounds=self.rounds,
            most_confident=[labels_of(number) for number in most],
            least_confident=[labels_of(number) for number in least],
            flipped=[labels_of(number) for number in flipped[:count]],
            lowest_scores=[labels_of(number) for number in sorted(self.scores, key=self.scores.__getitem__)[:count]],
            changed=len(self.history),
            any_selected=bool(selected),
        )
