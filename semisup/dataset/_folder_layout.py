"""Parts of `dataset=folder` around the images: the CSV of hidden classes, and errors about missing folders."""

import csv
from pathlib import Path

from semisup.errors import DataError
from semisup.images.scan import ImageFile, shown


def read_hidden_classes(root: Path, truth: str | None, files: list[ImageFile], classes: list[str]) -> list[int]:
    """Read class numbers of the unlabeled files from the CSV `truth`, by class name or number; -1 where unknown."""
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


def missing_folder(root: Path, where: str) -> str:
    """Describe a missing folder: what it should contain, and which folders there are instead."""
    present = ", ".join(f"{shown(each.name)}/" for each in subfolders(root)[:8])
    for above in (root.parent, *subfolders(root)):
        if (above / where).is_dir():
            present += f" (did you mean dataset.root={shown(above)}?)"
            break
    contents = f"dataset.root contains {present or 'no folder'}"
    return f"there is no folder {shown(root / where)}, with one folder per class; {contents}"


def subfolders(parent: Path) -> list[Path]:
    """Directories in `parent`, sorted; none if it cannot be read."""
    try:
        return sorted(each for each in parent.iterdir() if each.is_dir())
    except OSError:
        return []
