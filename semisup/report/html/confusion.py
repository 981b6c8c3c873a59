"""Create the page sections about the errors of a run's best model: confusion matrix, most confident errors."""

from typing import Any

from semisup.analysis.run_history import class_names, confusion_matrix
from semisup.analysis.runs import Run
from semisup.report.html.thumbnails import most_confident_errors
from semisup.text import printable

MAX_CLASSES = 25  # maximum number of classes of a legible confusion matrix
MAX_PAIRS = 20


def error_section(run: Run) -> dict[str, Any]:
    """Create the page section with the most confident errors on the validation images.

    The section also states why thumbnails are missing, if any are.
    """
    errors = most_confident_errors(run)
    shown = [
        {
            "uri": uri,
            "path": printable(prediction.path),
            "target": printable(prediction.target, 60),
            "predicted": printable(prediction.predicted, 60),
            "confidence": f"{prediction.confidence:.2f}",
        }
        for prediction, uri in errors.shown
    ]
    return {"shown": shown, "count": errors.count, "judged": errors.judged, "message": printable(errors.message, 600)}


def confusion_section(run: Run) -> dict[str, Any]:
    """Create the page section with the confusion matrices, or, with many classes, the most frequent confusions only."""
    names = [printable(name, 60) for name in class_names(run.folder)]
    counts = {split: matrix for split in ("validation", "test") if (matrix := confusion_matrix(run, split, len(names)))}
    few = len(names) <= MAX_CLASSES
    split = "test" if "test" in counts else "validation"
    pairs = [] if few or not counts else _pairs(counts[split], names)
    caption = f"The {len(pairs)} most frequent of {len(names)} x {len(names)} pairs"
    matrices = [_matrix(split, matrix, names) for split, matrix in counts.items()] if few else []
    return {"matrices": matrices, "pairs": pairs, "pairs_split": split, "pairs_caption": caption}


def _matrix(split: str, counts: list[list[int]], names: list[str]) -> dict[str, Any]:
    lines = [
        {"label": name, "cells": [(count, round(100 * count / max(sum(row), 1))) for count in row]}
        for name, row in zip(names, counts, strict=True)
    ]
    return {"split": split, "count": sum(map(sum, counts)), "classes": names, "lines": lines}


def _pairs(counts: list[list[int]], names: list[str]) -> list[tuple[str, str, int]]:
    """List (true class, predicted class, count) of the most frequent confusions."""
    pairs = [
        (count, true, predicted)
        for true, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [(names[true], names[predicted], count) for count, true, predicted in pairs[:MAX_PAIRS]]
