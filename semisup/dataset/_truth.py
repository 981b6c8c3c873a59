"""Read the true classes of unlabeled images from a table; only diagnostics use them."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from semisup.dataset._table import read_table
from semisup.dataset._table_columns import CLASS, FILE
from semisup.dataset._table_rows import Table
from semisup.errors import DataError, closest_match
from semisup.images.scan import ImageFile, shown
from semisup.text import escape_name

UNKNOWN = -1
"""Class number of an image whose true class is not known."""

_MOST_NAMED = 5


def read_hidden_classes(
    root: Path, truth: str, columns: Mapping[str, str | None], files: Sequence[ImageFile], classes: Sequence[str]
) -> list[int]:
    """Read the true class numbers of the unlabeled files from a table; UNKNOWN for a file that is not in it.

    The table may contain further files. It names a class as its folder does, or by its number.

    Args:
        root: folder to which the path of the table and the files in it are relative.
        truth: path of the table.
        columns: FILE or CLASS -> name of the column that the user gave; None = recognize it.
        files: the unlabeled files.
        classes: names of the classes, in the order of their numbers.

    Raises:
        SettingError: there is no column of the name that the user gave.
        DataError: the table cannot be read, names none of the files, or gives one file two classes.
    """
    try:
        with open(root / truth, "rb") as file:
            table = read_table(file, shown(root / truth), columns, (FILE, CLASS))
        return _find_classes(table, root, files, classes, f"dataset.truth={truth}")
    except OSError as error:
        raise DataError(f"dataset.truth={truth}: {shown(root / truth)} cannot be read ({error.strerror})") from None
    except DataError as error:
        raise DataError(f"dataset.truth={truth}: {error}") from None


def _find_classes(
    table: Table, root: Path, files: Sequence[ImageFile], classes: Sequence[str], setting: str
) -> list[int]:
    numbers = {str(number): number for number in range(len(classes))} | {name: n for n, name in enumerate(classes)}
    position = {file.name: number for number, file in enumerate(files)}
    hidden, rows = [UNKNOWN] * len(files), dict[int, int]()
    unknown: dict[str, int] = {}
    assert table.classes is not None
    for row, (file, name) in enumerate(zip(table.files, table.classes, strict=True)):
        number = next((position[each] for each in _possible_names(file, root) if each in position), None)
        if number is None or not name:
            continue
        if number in rows and table.classes[rows[number]] != name:
            other = f"{table.classes[rows[number]]} in row {table.rows[rows[number]]}"
            raise DataError(f"row {table.rows[row]}: {escape_name(file)} has the class {name}, and {other}")
        if name not in numbers and number not in rows:
            unknown[name] = unknown.get(name, 0) + 1
        rows[number] = row
        hidden[number] = numbers.get(name, UNKNOWN)
    if files and not rows:
        raise DataError(f"none of its files is unlabeled; names are relative to {shown(root)}, such as {files[0].name}")
    if unknown:
        warnings.warn(f"{setting}: {_describe(unknown, classes)}", stacklevel=5)
    return hidden


def _possible_names(file: str, root: Path) -> Iterable[str]:
    """Yield the names that an image can have if a table contains this path: as it is, or with forward slashes."""
    yield escape_name(file)
    path = file.replace("\\", "/")
    yield escape_name(os.path.normpath(path.removeprefix(f"{root}/")))


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
    return f"{plural} of the table {'is' if len(unknown) == 1 else 'are'} not in the data: {names}; {images}"
