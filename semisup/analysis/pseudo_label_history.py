"""The pseudo-labels of one run, round by round: what was gained, lost, and given another class. From
pseudo_labels.csv, read line by line: a pool of 50,000 images labeled twenty times is a million lines.

As in `_details`, nothing here raises: what is missing or broken is as if it had never been written.
"""

import csv
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from semisup.analysis.runs import NOT_DATA

COLUMNS = ("round", "epoch", "step", "path", "class", "confidence", "kept")
NONE = -1  # the class of an image that a round did not label


@dataclass
class Round:
    """One labeling of the pool against the one before it; in the first, all that is kept is gained.

    labeled, kept: images with a pseudo-label, and with one that counts
    gained, lost: kept now and not before, before and not now
    flipped: kept in both, under another class
    """

    number: int
    epoch: int
    step: int
    labeled: int = 0
    kept: int = 0
    gained: int = 0
    lost: int = 0
    flipped: int = 0
    kept_of: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class ImageLabels:
    """The last pseudo-label of an image, and the classes that it had one after the other."""

    path: str
    classes: tuple[str, ...]
    confidence: float
    kept: bool


@dataclass(frozen=True)
class LabelHistory:
    """surest, least_sure: of the last round's kept, else of its labels, at most `count` each, without overlap.

    flipped: the images whose class changed most often, those first; of equals the surest last label
    changed: how many images ever changed their class
    """

    rounds: list[Round]
    surest: list[ImageLabels]
    least_sure: list[ImageLabels]
    flipped: list[ImageLabels]
    changed: int
    any_kept: bool


def read_label_history(folder: Path, count: int) -> LabelHistory:
    """All of it, with `count` images of each kind."""
    reader = _Reader()
    try:
        with open(folder / "pseudo_labels.csv", newline="", encoding="utf-8") as file:
            reader.read(csv.reader(file))
    except (OSError, csv.Error, *NOT_DATA):
        pass  # of a file that ends in the middle of a line, the lines before it
    reader.end_round()
    return reader.found(count)


class _Reader:
    """What there is to know of each image while the rounds go by. Lists are by the image's number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.names: dict[str, int] = {}  # of classes, in the order of their appearance
        self.label, self.before = array("i"), array("i")
        self.kept, self.kept_before = bytearray(), bytearray()
        self.confidence = array("d")
        self.changes = array("i")
        self.history: dict[int, list[int]] = {}  # of the images whose class changed
        self.rounds: list[Round] = []
        self.open = False

    def read(self, rows: Iterator[list[str]]) -> None:
        header: list[str] = next(rows, [])
        position, epoch, step, path, target, sure, kept = (header.index(name) for name in COLUMNS)
        last = None
        for row in rows:
            if row[position] != last:
                self.end_round()
                last = row[position]
                self.rounds.append(Round(int(row[position]), int(row[epoch]), int(row[step])))
                self.open = True
            self._see(self._number(row[path]), row[target], float(row[sure]), row[kept] == "1")

    def _number(self, path: str) -> int:
        number = self.numbers.setdefault(path, len(self.numbers))
        if number == len(self.label):
            for each, value in ((self.label, NONE), (self.before, NONE), (self.confidence, 0.0), (self.changes, 0)):
                each.append(value)  # type: ignore[arg-type]  # 0.0 goes where doubles are
            self.kept.append(0)
            self.kept_before.append(0)
        return number

    def _see(self, number: int, target: str, confidence: float, kept: bool) -> None:
        label, now = self.names.setdefault(target, len(self.names)), self.rounds[-1]
        before = self.before[number]
        self.label[number], self.confidence[number] = label, confidence
        now.labeled += 1
        if label != before != NONE:
            self.changes[number] += 1
            self.history.setdefault(number, [before]).append(label)
        if kept:
            self.kept[number] = 1
            now.kept += 1
            now.kept_of[target] += 1
            if not self.kept_before[number]:
                now.gained += 1
            elif label != before:
                now.flipped += 1

    def end_round(self) -> None:
        """What was kept before and is not now is lost; what was not labeled now keeps the class that it had."""
        if not self.open:
            return
        self.open = False
        now = self.rounds[-1]
        now.lost = sum(self.kept_before) - (now.kept - now.gained)
        self.before = array("i", self.label)
        self.kept_before, self.kept = self.kept, bytearray(len(self.kept))

    def found(self, count: int) -> LabelHistory:
        names, paths = list(self.names), list(self.numbers)
        kept = [number for number, each in enumerate(self.kept_before) if each]
        seen = kept or list(range(len(paths)))

        def label(number: int) -> ImageLabels:
            classes = tuple(names[each] for each in self.history.get(number, [self.before[number]]))
            return ImageLabels(paths[number], classes, self.confidence[number], bool(self.kept_before[number]))

        by_confidence = sorted(seen, key=lambda number: -self.confidence[number])
        flipped = sorted(self.history, key=lambda number: (-self.changes[number], -self.confidence[number]))
        surest, least = by_confidence[:count], by_confidence[count:][-count:][::-1]
        return LabelHistory(
            rounds=self.rounds,
            surest=[label(number) for number in surest],
            least_sure=[label(number) for number in least],
            flipped=[label(number) for number in flipped[:count]],
            changed=len(self.history),
            any_kept=bool(kept),
        )
