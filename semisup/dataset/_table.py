"""Read a table of images, with a file name in each row and optional columns for class and split."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import BinaryIO

from semisup.dataset._csv_table import CsvTable
from semisup.dataset._parquet_table import read_parquet_table
from semisup.dataset._table_columns import CLASS, FILE, SPLIT, find_columns
from semisup.dataset._table_rows import Table, class_name
from semisup.errors import DataError, SettingError

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
"""Suffixes of the files that are found as tables. Any other text file is read too if the user names it."""

PARQUET_MAGIC = b"PAR1"


def read_table(file: BinaryIO, shown_path: str, chosen: Mapping[str, str | None], required: Sequence[str]) -> Table:
    """Read a table whose format is recognized by its content: a text table such as CSV (`_csv_table.py`), or Parquet.

    Args:
        file: the open file.
        shown_path: its path, for messages.
        chosen: FILE, CLASS or SPLIT -> name of the column that the user gave; null or missing = recognize it.
        required: the columns without which the table cannot be used.

    Raises:
        SettingError: there is no column of the name that the user gave.
        DataError: the file cannot be read, or has no such columns; or a row has no file name or is damaged.
    """
    is_parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    file.seek(0)
    if is_parquet:
        return read_parquet_table(file, shown_path, chosen, required)
    with closing(CsvTable(file, shown_path)) as table:
        return _read_rows(table, chosen, required)


def read_available(
    read: Callable[[Mapping[str, str | None]], Table], chosen: Mapping[str, str | None], absent: dict[str, SettingError]
) -> Table:
    """Read a table in which columns named by the user may be missing.

    For a missing column, the column with a usual name is used.

    Args:
        read: function that reads the table, given the names of its columns.
        chosen: as for `read_table`.
        absent: is filled with the error about each named column that the table does not have: key of the setting ->
            error.

    Raises:
        DataError: see `read_table`.
    """
    while True:
        try:
            return read(chosen)
        except SettingError as error:
            absent[error.key] = error
            chosen = {role: None if f"dataset.{role}_column" == error.key else name for role, name in chosen.items()}


def _read_rows(table: CsvTable, chosen: Mapping[str, str | None], required: Sequence[str]) -> Table:
    shown_path = table.shown_path
    columns = find_columns(shown_path, table.header, chosen, required)
    numbers, files = array("I"), list[str]()
    classes, splits = _Names(CLASS in columns), _Names(SPLIT in columns)
    for cells in table.rows([columns[role] for role in (FILE, CLASS, SPLIT) if role in columns]):
        if not cells[0]:
            raise DataError(f"{shown_path}: row {table.row} has no file name; add it, or delete the row")
        numbers.append(table.row)
        files.append(cells[0])
        if CLASS in columns:
            classes.append(cells[1])
        if SPLIT in columns:
            splits.append(cells[-1])
    return Table(shown_path, numbers, files, classes.names, splits.names)


class _Names:
    """Names of classes or splits, one for each row of a table: 8 bytes per row, because each name is stored once."""

    def __init__(self, present: bool) -> None:
        self.names: list[str] | None = [] if present else None
        self._distinct: dict[str, str] = {}

    def append(self, cell: str) -> None:
        if (name := self._distinct.get(cell)) is None:
            name = self._distinct[cell] = class_name(cell)
        assert self.names is not None
        self.names.append(name)
