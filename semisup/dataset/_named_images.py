"""List the images that the rows of a table name, without classes and splits."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from semisup.dataset._layout_table import list_images, open_table
from semisup.dataset._open_source import open_source
from semisup.dataset._table import TABLE_SUFFIXES
from semisup.errors import DataError
from semisup.images.scan import ImageFile
from semisup.text import escape_name


def is_table(path: Path) -> bool:
    """Whether a path is an existing file with the suffix of a table: CSV, TSV or Parquet."""
    return path.suffix.lower() in TABLE_SUFFIXES and path.is_file()


def named_images(path: Path, columns: Mapping[str, str | None]) -> list[ImageFile]:
    """List the image of each row of a table, in the order of the rows.

    For a row whose image does not exist, the list contains a file that cannot be read. For a row without a file name,
    the list contains a file with the name "".

    Args:
        path: the table.
        columns: FILE -> name of the column of image files; None or missing = recognize the column by a usual name.

    Raises:
        SettingError, DataError: the table cannot be read, or none of its images exists.
    """
    source = open_source(path, follow_symlinks=False)
    table = open_table(source, path.name, columns, allow_unnamed=True)
    if not table.files:
        raise DataError(f"{table.shown_path}: has no rows")
    if table.cells is None and not any(table.files):
        raise DataError(f"{table.shown_path}: no row has a file name")
    files = list_images(source, {path.name: table}, None, Counter())[path.name]
    if table.cells is not None:
        return [file for file in files if file is not None]
    names = [name.replace("\\", "/") for name in table.files]
    return [
        ImageFile(os.fspath(path.parent / name), escape_name(name), 0, 0, 0, 0)
        if file is None
        else replace(file, name=escape_name(name))
        for name, file in zip(names, files, strict=True)
    ]
