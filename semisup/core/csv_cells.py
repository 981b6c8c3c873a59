"""Cells of the CSV files, written so that a spreadsheet shows them as text and never executes them.

A text cell that begins with =, +, -, @, a tab or a carriage return would be a formula (OWASP, "CSV injection"): it is
written with one more ' in front. To keep that reversible, a text that begins with ' and then such a character gets one
more ' as well. To read the original back, remove one leading ' from cells in which a formula character follows the
leading quotes, as `restore_cell` does. Numbers are written as they are.
"""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def protect_cell(value: object) -> object:
    """The value as it is written into a CSV file; only text is ever changed."""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(FORMULA_STARTS) else value


def restore_cell(text: str) -> str:
    """The original of a text cell, the inverse of `protect_cell`."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA_STARTS) else text


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """The rows as CSV, with text cells that no spreadsheet executes."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([protect_cell(value) for value in row] for row in rows)
    return buffer.getvalue()
