"""List the images to label and the images whose labels should be checked, as CSV tables and Label Studio tasks."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote_from_bytes

from semisup.core.csv_cells import csv_text
from semisup.labeling.label_issues import LabelIssues
from semisup.labeling.label_studio import LabelingTask, tasks_json
from semisup.labeling.run_data import RunData

LOCAL_FILES = "/data/local-files/?d="
"""Address of local files in Label Studio.

The path after it is relative to Label Studio's setting LOCAL_FILES_DOCUMENT_ROOT.
"""

COLUMNS = ("file", "class", "suggested", "confidence", "score")


class ReviewedImage(NamedTuple):
    """An image that a person should label, or whose label a person should check.

    row: index of the image in the unlabeled or the labeled set
    file: file name of the image, as tables name it
    given: the given class; "" = unlabeled
    suggested: the most probable class
    confidence: probability of the suggested class, in [0, 1]
    score: how uncertain the prediction is, for an unlabeled image; how suspicious the given class is, for a labeled
        one; at least 0
    """

    row: int
    file: str
    given: str
    suggested: str
    confidence: float
    score: float


def images_to_label(data: RunData, rows: Sequence[int], scores: Sequence[float]) -> list[ReviewedImage]:
    """List the unlabeled images to label, in the order of `rows`."""
    probabilities = data.unlabeled.probabilities[list(rows)]
    best = probabilities.argmax(axis=1).tolist()
    each = zip(rows, best, probabilities.max(axis=1).tolist(), scores, strict=True)
    return [
        ReviewedImage(row, data.unlabeled.files[row], "", data.classes[target], confidence, score)
        for row, target, confidence, score in each
    ]


def labels_to_check(data: RunData, issues: LabelIssues) -> list[ReviewedImage]:
    """List the labeled images whose class looks wrong.

    The score of an image is 1 minus the probability of the given class.
    """
    rows = issues.rows.tolist()
    each = zip(rows, issues.suggested.tolist(), issues.confidence.tolist(), issues.quality.tolist(), strict=True)
    return [
        ReviewedImage(
            row,
            data.labeled.files[row],
            data.classes[data.labeled.targets[row]],
            data.classes[target],
            confidence,
            1 - quality,
        )
        for row, target, confidence, quality in each
    ]


def review_table(images: Iterable[ReviewedImage]) -> bytes:
    """Format images as a CSV table; the user fills in or corrects the column `class`."""
    rows = ((each.file, each.given, each.suggested, f"{each.confidence:.6f}", f"{each.score:.6f}") for each in images)
    return csv_text([COLUMNS, *rows]).encode()


def label_table(data: RunData, first: Iterable[ReviewedImage]) -> bytes:
    """Format a CSV table of all images, with their class and split, on which a run can be trained.

    An unlabeled image has the split `train` and no class.

    Args:
        first: images that come first in the table.
    """
    labeled = zip(data.labeled.files, data.labeled.targets.tolist(), strict=True)
    train = {each.file: each.given for each in first}
    train |= {file: data.classes[target] for file, target in labeled if file not in train}
    train |= {file: "" for file in data.unlabeled.files if file not in train}
    rows = [(file, name, "train") for file, name in train.items()]
    rows += [(file, name, split) for split, file, name in data.held_out]
    return csv_text([("file", "class", "split"), *rows]).encode()


def review_tasks(images: Iterable[ReviewedImage], data: RunData, image_url: str | None) -> bytes:
    """Format the images as tasks of Label Studio.

    Args:
        image_url: address in front of the file names. None = Label Studio's local files; the parent folder of
            `data.root` must then be the document root of Label Studio.
    """
    prefix = LOCAL_FILES + _quoted(data.root.name) + "/" if image_url is None else image_url
    tasks = (
        LabelingTask(each.file, prefix + _quoted(each.file), each.given, each.suggested, each.confidence, each.score)
        for each in images
    )
    return tasks_json(tasks, data.id)


def _quoted(path: str) -> str:
    return quote_from_bytes(path.encode())
