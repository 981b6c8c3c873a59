"""Read the true classes of unlabeled images from a table, for diagnostics and for `imbalance_unlabeled`."""

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from semisup.dataset._image_names import ImageNames, several_folders
from semisup.dataset._only_classes import OTHER
from semisup.dataset._open_source import table_folder
from semisup.dataset._table import read_available, read_table
from semisup.dataset._table_columns import CLASS, FILE, ColumnError
from semisup.dataset._table_rows import Table
from semisup.errors import DataError, SettingError, closest_match
from semisup.images.scan import ImageFile, shown
from semisup.text import escape_name

UNKNOWN = -1
"""Class number of an image whose true class is not known."""

_MOST_NAMED = 5
_MOST_LOOKUPS = 10**6  # in the search for the folder of the images


def identify_truth(dataset: Any) -> Any:
    """Set `truth_sha256` to the digest of the table of true classes, if the table has an effect on the training.

    It has an effect if unlabeled images are selected by their true classes (`imbalance_unlabeled` is not 1). The digest
    makes the content of the table part of the run id.

    Args:
        dataset: settings of the data set.

    Returns:
        the settings; unchanged if the table has no effect or cannot be read (`Dataset.inspect` then reports the error).

    Raises:
        SettingError: `truth_sha256` is given although no table has an effect, or the table has another digest.
    """
    truth, expected = getattr(dataset, "truth", None), getattr(dataset, "truth_sha256", None)
    if truth is None or dataset.imbalance_unlabeled == 1:
        if expected is not None:
            allowed = "must be null without dataset.truth or with dataset.imbalance_unlabeled=1"
            raise SettingError("dataset.truth_sha256", expected, allowed)
        return dataset
    try:
        with open(table_folder(Path(dataset.root).expanduser()) / truth, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return dataset
    if expected not in (None, digest):
        allowed = f"must be the table with sha256 {expected}; the sha256 of this table is {digest}"
        raise SettingError("dataset.truth", truth, allowed)
    return replace(dataset, truth_sha256=digest)


def read_hidden_classes(
    root: Path,
    truth: str,
    columns: Mapping[str, str | None],
    image_folder: str | None,
    files: Sequence[ImageFile],
    classes: Sequence[str],
) -> list[int]:
    """Read the true class numbers of the unlabeled files from a table.

    Each row of the table has the name or number of a class, or `other` for an image of another class, which gets the
    number K. Files that are not in the table get the number UNKNOWN.

    Args:
        root: folder to which `truth` is relative.
        truth: path of the table.
        columns: FILE or CLASS -> name of the column; None = recognize the column by a usual name.
        image_folder: folder in the root to which the names in the table are relative; None = find it.
        files: the unlabeled files.
        classes: K names, in the order of the class numbers.

    Raises:
        SettingError: there is no column with a name in `columns`, and none with a usual name.
        DataError: the table cannot be read, names none of the files, or gives one file two classes.
    """
    try:
        table = _read(root / truth, columns)
        return _find_classes(table, root, image_folder, files, classes, f"dataset.truth={truth}")
    except OSError as error:
        raise DataError(f"dataset.truth={truth}: {shown(root / truth)} cannot be read ({error.strerror})") from None
    except DataError as error:
        raise DataError(f"dataset.truth={truth}: {error}") from None


def _read(path: Path, columns: Mapping[str, str | None]) -> Table:
    """Read the table of true classes; where a column named by the user is missing, use the column with a usual name."""
    absent: dict[str, SettingError] = {}

    def read(chosen: Mapping[str, str | None]) -> Table:
        with open(path, "rb") as file:
            return read_table(file, shown(path), chosen, (FILE, CLASS))

    try:
        return read_available(read, {role: columns.get(role) for role in (FILE, CLASS)}, absent)
    except ColumnError as error:
        raise absent.get(f"dataset.{error.role}_column", error) from None


def _folder_of(table: Table, images: ImageNames, image_folder: str | None) -> str | None:
    """Find the folder to which the file names in the table are relative; None if no folder contains one of the files.

    `image_folder` is tried first, if given, and then the root. If `image_folder` is None, the folders in the root are
    tried too.

    Raises:
        DataError: several folders in the root contain one of the files.
    """
    for folder in (*([] if image_folder is None else [image_folder]), "."):
        if images.matching_folders(table.files, [folder])[1]:
            return folder
    if image_folder is not None:
        return None
    tops = [*dict.fromkeys(name.partition("/")[0] for name in images.by_name if "/" in name)]
    tried = table.files[: max(_MOST_LOOKUPS // max(len(tops), 1), 1)]
    name, folders = images.matching_folders(tried, tops)
    if len(folders) > 1:
        raise DataError(several_folders(name, folders))
    return folders[0] if folders else None


def _find_classes(
    table: Table,
    root: Path,
    image_folder: str | None,
    files: Sequence[ImageFile],
    classes: Sequence[str],
    setting: str,
) -> list[int]:
    numbers = {OTHER: len(classes)} | {str(number): number for number in range(len(classes))}
    numbers |= {name: number for number, name in enumerate(classes)}
    position = {file.name: number for number, file in enumerate(files)}
    images = ImageNames(files, os.fspath(root))
    folder = _folder_of(table, images, image_folder)
    hidden, rows = [UNKNOWN] * len(files), dict[int, int]()
    unknown: dict[str, int] = {}
    assert table.classes is not None
    for row, (file, name) in enumerate(zip(table.files, table.classes, strict=True)):
        image = images.find(folder, file) if folder is not None and name else None
        if image is None:
            continue
        number = position[image.name]
        if number in rows and table.classes[rows[number]] != name:
            other = f"{table.classes[rows[number]]} in row {table.rows[rows[number]]}"
            raise DataError(f"row {table.rows[row]}: {escape_name(file)} has the class {name}, and {other}")
        if name not in numbers and number not in rows:
            unknown[name] = unknown.get(name, 0) + 1
        rows[number] = row
        hidden[number] = numbers.get(name, UNKNOWN)
    if files and not rows:
        needed = f"names must be relative to {shown(root)}, such as {files[0].name}"
        raise DataError(f"the table names no unlabeled image of the data set; {needed}")
    if unknown:
        warnings.warn(f"{setting}: {_describe(unknown, classes)}", stacklevel=5)
    return hidden


def _describe(unknown: Mapping[str, int], classes: Sequence[str]) -> str:
    named = []
    for name in list(unknown)[:_MOST_NAMED]:
        near = closest_match(name, classes) or next(
            (each for each in classes if each.casefold() == name.casefold()), ""
        )
        named.append(f"{name} (did you mean {near}?)" if near else name)
    names = ", ".join(named) + (", ..." if len(unknown) > _MOST_NAMED else "")
    plural = "a class" if len(unknown) == 1 else f"{len(unknown)} classes"
    count = sum(unknown.values())
    images = "the class of 1 image stays unknown" if count == 1 else f"the classes of {count} images stay unknown"
    plural += f" of the table {'is' if len(unknown) == 1 else 'are'} not in the data"
    return f"{plural}: {names}; {images}; for an image of no class, write {OTHER}"
