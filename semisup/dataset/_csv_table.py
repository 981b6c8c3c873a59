"""Read the rows of a text table (CSV, TSV), with the encodings and separators that spreadsheets use.

    encoding    UTF-8 with or without a byte order mark, UTF-16
    separator   comma, semicolon, tab or vertical bar, as in the first row; or set by a first line such as "sep=;"
    cells       quoted or not; spaces around a cell are removed

Every row must have as many cells as the first row.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from semisup.core.csv_cells import restore_cell
from semisup.errors import DataError
from semisup.text import counted

SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}

_SEPARATOR_LINE = "sep="
"""Start of a first line in which Excel finds the separator."""

_FOREIGN = {
    b"PK\x03\x04": "is an Excel workbook or another archive; save it as CSV",
    b"\x1f\x8b": "is compressed; decompress it",
}
"""First bytes of other files that are named as a table -> the fix, for the error."""


class CsvTable:
    """An open text table.

    header: names of the columns
    row: number of the last line that was read, from 1

    Raises:
        DataError: the file is not text, or is empty.
    """

    def __init__(self, file: BinaryIO, shown_path: str) -> None:
        self.shown_path, self.row = shown_path, 0
        self.file = io.TextIOWrapper(file, encoding=_encoding(file, shown_path), newline="")
        try:
            self._read_header()
        except DataError:
            self.close()
            raise

    def close(self) -> None:
        """Detach this reader from the file, which stays open."""
        self.file.detach()

    def _read_header(self) -> None:
        line, separator = self._first_line(), None
        if line.lower().startswith(_SEPARATOR_LINE) and len(line.strip("\r\n")) == len(_SEPARATOR_LINE) + 1:
            separator = line[len(_SEPARATOR_LINE)]
            line = self._first_line()
        self.header, self.separator = _split_header(line, separator)
        if not any(self.header):
            raise DataError(f"{self.shown_path}: is empty; its first row must name the columns")

    def _first_line(self) -> str:
        try:
            for line in self.file:
                self.row += 1
                if line.strip():
                    return line
        except UnicodeError:
            raise self._undecodable() from None
        return ""

    def rows(self, columns: Sequence[int]) -> Iterator[list[str]]:
        """Yield, for each row, its cells in the columns with the given indices; empty rows are skipped.

        Raises:
            DataError: a row has another number of cells than the first row, or is damaged.
        """
        before, width = self.row, len(self.header)
        # not `csv.Sniffer`, which guesses from all characters, and splits `a.png` at the point
        reader = csv.reader(self.file, delimiter=self.separator, skipinitialspace=True, strict=True)
        try:
            for cells in reader:
                self.row = before + reader.line_num
                if not cells or (not cells[0] and not any(map(str.strip, cells))):
                    continue
                if len(cells) != width and (len(cells) < width or any(cells[width:])):
                    raise self._wrong_width(len(cells))
                values = [cells[column].strip() for column in columns]
                yield [restore_cell(value) if value[:1] == "'" else value for value in values]
        except csv.Error as error:
            reason = "a quoted cell has no end" if "unexpected end" in str(error) else str(error)
            raise DataError(f"{self.shown_path}: row {self.row + 1}: {reason}") from None
        except UnicodeError:
            raise self._undecodable() from None

    def _wrong_width(self, count: int) -> DataError:
        separator = _SEPARATOR_NAMES.get(self.separator, self.separator)
        return DataError(
            f"{self.shown_path}: row {self.row} has {counted(count, 'cell')}, and the first row has "
            f"{len(self.header)}; the separator is {separator}, and a cell that contains it needs double quotes"
        )

    def _undecodable(self) -> DataError:
        row = 0
        self.file.buffer.seek(0)
        for line in self.file.buffer:
            row += 1
            try:
                line.decode(self.file.encoding)
            except UnicodeDecodeError:
                break
        allowed = 'must be UTF-8 or UTF-16; in a spreadsheet save it as "CSV UTF-8"'
        return DataError(f"{self.shown_path}: row {row} cannot be decoded: a table {allowed}")


def _encoding(file: BinaryIO, shown_path: str) -> str:
    """Detect the encoding of a text table by its first bytes.

    Raises:
        DataError: the file is not a text table, for example an Excel workbook.
    """
    head = file.read(64)
    file.seek(0)
    for start, action in _FOREIGN.items():
        if head.startswith(start):
            raise DataError(f"{shown_path}: {action}")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head[1:2] == b"\0" != head[:1]:
        return "utf-16-le"
    if head[:1] == b"\0" != head[1:2] and len(head) > 1:
        return "utf-16-be"
    if b"\0" in head:
        raise DataError(f"{shown_path}: is not a text table: it contains bytes of value 0")
    return "utf-8-sig"


def _split_header(line: str, separator: str | None) -> tuple[list[str], str]:
    """Split the first row into cells, without empty cells at the end.

    Args:
        separator: the separator; None = use the one that gives the most cells.

    Returns:
        the cells, and the separator.
    """
    best: tuple[list[str], str] = ([], separator or SEPARATORS[0])
    for each in SEPARATORS if separator is None else (separator,):
        try:
            cells = next(csv.reader([line], delimiter=each, skipinitialspace=True), [])
        except csv.Error:
            continue
        cells = [restore_cell(cell.strip()) for cell in cells]
        while cells and not cells[-1]:
            cells.pop()
        if len(cells) > len(best[0]):
            best = cells, each
    return best
