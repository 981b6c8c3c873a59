"""Write cells of CSV files so that a spreadsheet shows them as text and never executes them as formulas.

A spreadsheet takes a text cell that begins with =, +, -, @, a tab or a carriage return for a formula (OWASP, "CSV
injection"). Such a text is written with one ' in front. A text that begins with one or more ' and then one of these
characters gets one more ' too, so that the original can be restored: `restore_cell` removes one leading ' if one of
these characters follows the leading quotes. Numbers are not changed.
"""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def protect_cell(value: object) -> object:
    """Convert a value for a CSV cell, so that a spreadsheet does not execute text as a formula."""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(FORMULA_STARTS) else value


def restore_cell(text: str) -> str:
    """Undo `protect_cell`: restore the original text of a CSV cell."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA_STARTS) else text


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Format rows as the text of a CSV file, with protected text cells."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([protect_cell(value) for value in row] for row in rows)
    return buffer.getvalue()
