"""Render the tables of a comparison on a terminal.

Text of a run is shown as it is: it is not parsed as markup of rich.
"""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from semisup.analysis.comparison import Comparison
from semisup.report.tables import Column, Table, references_table, runs_table, settings_table

MAX_ROWS = 50


def comparison_tables(comparison: Comparison, console: Console) -> list[RichTable | Text]:
    """Create the tables that `compare` prints: settings, reference runs, unfinished runs."""
    parts: list[RichTable | Text] = []
    settings, references = settings_table(comparison, str), references_table(comparison)
    if settings:
        over = comparison.repeated_by
        title = f"Best on validation first; ± is the spread over {over}; gains in percentage points"
        parts += _titled(f"{title}; coverage of the last labeling")
        parts.append(_fitted(settings.select([column.key for column in settings.columns[1:]]), console))
    if references:
        parts += _titled(references.caption)
        parts.append(_render(references))
    if comparison.unfinished:
        parts += _titled("Not finished")
        runs = runs_table(comparison, str)
        rows = runs.rows[-len(comparison.unfinished) :]
        varied = [column.key for column in runs.columns[3 : 3 + len(comparison.columns)]]
        shown = Table(runs.id, runs.caption, "", runs.columns, rows).select(["run", "status", *varied, "reason"])
        parts.append(_render(shown, wrap=True))
    return parts


def _titled(title: str) -> list[RichTable | Text]:
    return [Text(), Text(title, style="italic")]


def _fitted(table: Table, console: Console) -> RichTable:
    """Render a table for the terminal; columns are left out if the terminal is too narrow.

    Columns with the highest `priority` are left out first.
    """
    for priority in range(max(column.priority for column in table.columns), -1, -1):
        keys = [column.key for column in table.columns if column.priority <= priority]
        rendered = _render(table.select(keys))
        wide = console.options.update(width=10_000, max_width=10_000)
        if Measurement.get(console, wide, rendered).maximum <= console.width:
            break
    return rendered


def _render(table: Table, *, wrap: bool = False) -> RichTable:
    rendered = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in table.columns:
        left, measured = wrap or column.key == "kind", not wrap and _is_measured(column)
        rendered.add_column(Text(column.title), justify="left" if left else "right", overflow="fold", no_wrap=measured)
    for row in table.rows[:MAX_ROWS]:
        cells = [Text(cell.text or "-", style=cell.color or ("" if cell.text else "dim")) for cell in row.cells]
        rendered.add_row(*cells, style="bold" if row.best else None)
    if len(table.rows) > MAX_ROWS:
        rendered.caption = Text(f"{len(table.rows) - MAX_ROWS} more in comparison.csv", style="dim")
    return rendered


def _is_measured(column: Column) -> bool:
    """Whether a column shows a metric, not a setting or text."""
    return column.number and "." not in column.key
