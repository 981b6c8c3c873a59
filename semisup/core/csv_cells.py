"""Write cells of CSV files so that a spreadsheet shows them as text and never executes them as formulas.

A spreadsheet executes a cell as a formula if its text begins with =, +, -, @, a tab or a carriage return (OWASP, "CSV
injection"). An apostrophe (') before such a text prevents this: `protect_cell` adds it, and `restore_cell` removes it.
"""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def protect_cell(value: object) -> object:
    """Add ' before a text that a spreadsheet would execute as a formula; return all other values unchanged.

    A text such as `'=1+1`, which has the ' already, gets a second one, so that `restore_cell` can restore it.
    """
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(FORMULA_STARTS) else value


def restore_cell(text: str) -> str:
    """Undo `protect_cell`: restore the original text of a CSV cell."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA_STARTS) else text


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Format rows as the text of a CSV file; each cell is protected by `protect_cell`."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([protect_cell(value) for value in row] for row in rows)
    return buffer.getvalue()
