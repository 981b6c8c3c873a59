"""What both pages, of a comparison and of one run, show of one run's chosen model: confusion and surest mistakes."""

from typing import Any

from semisup.analysis.run_history import class_names, confusion_matrix
from semisup.analysis.runs import Run
from semisup.report.html.thumbnails import most_confident_errors
from semisup.runtime.text import printable

MOST_CLASSES = 25  # of a confusion matrix that can be read
MOST_PAIRS = 20


def confusion_rows(run: Run) -> dict[str, Any]:
    """Where it was most sure and wrong on validation, with thumbnails, and what is missing of that."""
    found = most_confident_errors(run)
    shown = [
        {
            "uri": uri,
            "path": printable(guess.path),
            "target": printable(guess.target, 60),
            "predicted": printable(guess.predicted, 60),
            "confidence": f"{guess.confidence:.2f}",
        }
        for guess, uri in found.shown
    ]
    return {"shown": shown, "count": found.count, "judged": found.judged, "said": printable(found.said, 600)}


def confusions(run: Run) -> dict[str, Any]:
    """Matrices that can be read, or the pairs that are confused most often."""
    names = [printable(name, 60) for name in class_names(run.folder)]
    counts = {split: found for split in ("validation", "test") if (found := confusion_matrix(run, split, len(names)))}
    few = len(names) <= MOST_CLASSES
    split = "test" if "test" in counts else "validation"
    pairs = [] if few or not counts else _pairs(counts[split], names)
    said = f"The {len(pairs)} most frequent of {len(names)} x {len(names)} pairs"
    matrices = [_matrix(split, each, names) for split, each in counts.items()] if few else []
    return {"matrices": matrices, "pairs": pairs, "pairs_split": split, "pairs_said": said}


def _matrix(split: str, counts: list[list[int]], names: list[str]) -> dict[str, Any]:
    lines = [
        {"label": name, "cells": [(count, round(100 * count / max(sum(row), 1))) for count in row]}
        for name, row in zip(names, counts, strict=True)
    ]
    return {"split": split, "count": sum(map(sum, counts)), "classes": names, "lines": lines}


def _pairs(counts: list[list[int]], names: list[str]) -> list[tuple[str, str, int]]:
    wrong = [
        (count, true, predicted)
        for true, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    wrong.sort(key=lambda each: (-each[0], each[1], each[2]))
    return [(names[true], names[predicted], count) for count, true, predicted in wrong[:MOST_PAIRS]]
