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


def read_table(
    file: BinaryIO,
    shown_path: str,
    chosen: Mapping[str, str | None],
    required: Sequence[str],
    *,
    allow_unnamed: bool = False,
) -> Table:
    """Read a text table such as CSV, or a Parquet table; the content decides the format.

    Args:
        file: the open file.
        shown_path: path of the table, for messages.
        chosen: FILE, CLASS or SPLIT -> name of the column; None or missing = recognize the column by a usual name.
        required: the columns without which the table cannot be used.
        allow_unnamed: accept rows without a file name.

    Raises:
        SettingError: there is no column with a name in `chosen`.
        DataError: the file is damaged, a required column is missing, or a row has no file name.
    """
    is_parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    file.seek(0)
    if is_parquet:
        table = read_parquet_table(file, shown_path, chosen, required)
    else:
        with closing(CsvTable(file, shown_path)) as text:
            table = _read_rows(text, chosen, required)
    if not allow_unnamed and table.cells is None and "" in table.files:
        row = table.rows[table.files.index("")]
        raise DataError(f"{shown_path}: row {row} has no file name; add it, or delete the row")
    return table


def read_available(
    read: Callable[[Mapping[str, str | None]], Table], chosen: Mapping[str, str | None], absent: dict[str, SettingError]
) -> Table:
    """Read a table; where a column named by the user is missing, use the column with a usual name.

    Args:
        read: function that reads the table, given names of columns like `chosen`.
        chosen: FILE, CLASS or SPLIT -> name of the column; None = recognize the column by a usual name.
        absent: for each missing column that the user named: key of the setting -> the error; this function adds to it.

    Raises:
        DataError: the table cannot be read.
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
        numbers.append(table.row)
        files.append(cells[0])
        if CLASS in columns:
            classes.append(cells[1])
        if SPLIT in columns:
            splits.append(cells[-1])
    return Table(shown_path, numbers, files, classes.names, splits.names)


class _Names:
    """Names of classes or splits, one for each row of a table; equal names are stored once."""

    def __init__(self, present: bool) -> None:
        self.names: list[str] | None = [] if present else None
        self._distinct: dict[str, str] = {}

    def append(self, cell: str) -> None:
        if (name := self._distinct.get(cell)) is None:
            name = self._distinct[cell] = class_name(cell)
        assert self.names is not None
        self.names.append(name)
