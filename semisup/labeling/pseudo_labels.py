"""Select the unlabeled images that get a pseudo-label."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from semisup.core.csv_cells import csv_text
from semisup.errors import RecordError
from semisup.record.pseudo_labels import last_round


class PseudoLabel(NamedTuple):
    """A selected pseudo-label of an unlabeled image.

    row: index of the image in the unlabeled set
    target: name of the class
    confidence: in [0, 1]
    """

    row: int
    target: str
    confidence: float


def selected_by_run(run: Path, paths: list[str]) -> tuple[list[PseudoLabel], str]:
    """Read the pseudo-labels that a run selected in its last labeling of the unlabeled set.

    Args:
        paths: names of all unlabeled images.

    Returns:
        The pseudo-labels, and a text that says why there are none ("" if there are some).

    Raises:
        RecordError: pseudo_labels.csv of the run is damaged.
    """
    path = run / "pseudo_labels.csv"
    try:
        rows = last_round(path, paths)
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error):  # UnicodeDecodeError is a ValueError
        raise RecordError(
            f"{path}: is damaged, or belongs to another run; "
            "add --threshold 0.9 to use the predictions of this run's best model instead"
        ) from None
    selected = [PseudoLabel(row.number, row.target, row.confidence) for row in rows if row.weight > 0]
    problem = "selected no pseudo-label in its last labeling" if rows else "has no pseudo-labels"
    return selected, "" if selected else problem


def above_threshold(probabilities: NDArray[numpy.float32], classes: list[str], threshold: float) -> list[PseudoLabel]:
    """Select the unlabeled images whose predicted class has at least the probability `threshold`.

    Args:
        probabilities: (N, K), of all unlabeled images.
    """
    confidence, targets = probabilities.max(axis=1), probabilities.argmax(axis=1)
    return [
        PseudoLabel(int(row), classes[targets[row]], float(confidence[row]))
        for row in numpy.flatnonzero(confidence >= threshold)
    ]


def pseudo_label_table(files: Sequence[str], labels: Iterable[PseudoLabel]) -> bytes:
    """Format pseudo-labels as a CSV table that `dataset=folder` can read.

    Args:
        files: names of all unlabeled images.
    """
    rows = ((files[each.row], each.target, f"{each.confidence:.6f}") for each in labels)
    return csv_text([("file", "class", "confidence"), *rows]).encode()
