"""The rows of a table of images, as read from text tables and from Parquet."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from semisup.text import escape_name


@dataclass(frozen=True)
class Table:
    """The rows of a table, one list per column.

    shown_path: path of the table, for messages
    rows: for each row, its number in messages: the line of a text file, from 1, or the row of a Parquet file, from 0
    files: names of image files, as in the table; "" = an image in the table itself that has no name, or
        a row without a file name
    classes: names of classes, in the Unicode form NFC and printable; "" = no class. None = there is no such column
    splits: names of splits; "" = not given. None = there is no such column
    cells: path of the column with the bytes of the images; None if the table names files
    """

    shown_path: str
    rows: Sequence[int]
    files: list[str]
    classes: list[str] | None
    splits: list[str] | None
    cells: str | None = None


def class_name(text: str) -> str:
    """Convert the name of a class to the Unicode normalization form NFC, and make it printable."""
    return escape_name(unicodedata.normalize("NFC", text))
