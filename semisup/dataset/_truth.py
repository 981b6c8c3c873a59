"""Read the true classes of unlabeled images, `dataset.truth`, from a CSV."""

import csv
from pathlib import Path

from semisup.errors import DataError
from semisup.images.scan import ImageFile


def read_hidden_classes(root: Path, truth: str | None, files: list[ImageFile], classes: list[str]) -> list[int]:
    """Read the class numbers of the unlabeled files from a CSV; -1 = unknown.

    Args:
        truth: path of the CSV, relative to `root`, with columns file and class (name or number of the class); None = no
            CSV, all classes are unknown.

    Raises:
        DataError: the CSV cannot be read, or names none of the unlabeled files.
    """
    if truth is None:
        return [-1] * len(files)
    path = root / truth
    try:
        with open(path, newline="", encoding="utf-8") as file:
            table = {row["file"]: row["class"] for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"dataset.truth={truth}: {path} must be a CSV with columns file,class ({error})") from None
    if files and not any(file.name in table for file in files):
        example = f"none of its files is unlabeled; names are relative to dataset.root, such as {files[0].name}"
        raise DataError(f"dataset.truth={truth}: {example}")
    numbers = {str(number): number for number in range(len(classes))} | {name: n for n, name in enumerate(classes)}
    return [numbers.get(table.get(file.name, ""), -1) for file in files]
