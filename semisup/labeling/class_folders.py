"""Choose the paths to which images with a pseudo-label are linked or copied, with one folder for each class."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from semisup.errors import DataError
from semisup.labeling.pseudo_labels import PseudoLabel
from semisup.text import escape

FOLDER = "pseudo_labels"
MAX_BYTES = 255
"""Largest length of a file name in common file systems."""


class PlacedImage(NamedTuple):
    """An image with a pseudo-label, which is linked or copied into the folder of its class.

    place: path of the link or copy in the output folder
    source: path of the image file
    """

    place: str
    source: str


def place_images(paths: Sequence[str], labels: Iterable[PseudoLabel]) -> list[PlacedImage]:
    """Choose a path for each image with a pseudo-label: inside the folder of its class.

    The path inside this folder is the path of the image relative to the common folder of all unlabeled images, so that
    images with the same file name do not collide.

    Args:
        paths: paths of all unlabeled images.
        labels: the pseudo-labels.

    Raises:
        DataError: the name of a class cannot be the name of a folder.
    """
    base = os.path.commonpath([os.path.dirname(path) for path in paths])
    placed = []
    for label in labels:
        _check_folder_name(label.target)
        source = paths[label.row]
        placed.append(PlacedImage(os.path.join(FOLDER, label.target, os.path.relpath(source, base)), source))
    return placed


def _check_folder_name(name: str) -> None:
    """Raise DataError if the name of a class cannot be the name of a class folder of a data set."""
    if not name or name.startswith(".") or "/" in name or "\0" in name or len(os.fsencode(name)) > MAX_BYTES:
        raise DataError(f"class {escape(name)}: cannot be the name of a folder; type --no-folders to write tables only")
