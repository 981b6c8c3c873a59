"""Render the tables of a comparison on a terminal.

Text of a run is shown as it is: it is not parsed as markup of rich.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from semisup.analysis.comparison import Comparison
from semisup.analysis.runs import ACCURACY, BALANCED_ACCURACY
from semisup.analysis.selection import METRIC_NAMES
from semisup.report.tables import Column, Table, references_table, runs_table, settings_table
from semisup.text import printable

MAX_ROWS = 50

OTHER_TITLES = ("", "run", "status", "seeds", "folds", "runs", "steps", "seconds", "reason")
"""Titles of columns that do not show a setting."""


def comparison_tables(comparison: Comparison, console: Console) -> list[RichTable | Text]:
    """Create the tables that `compare` prints: settings, reference runs, unfinished runs."""
    parts: list[RichTable | Text] = []
    settings, references = settings_table(comparison, str), references_table(comparison)
    if settings:
        over = comparison.repeated_by
        by = "" if comparison.select_by == ACCURACY else f" by {METRIC_NAMES[comparison.select_by]}"
        title = f"Best on validation{by} first; ± is the spread over {over}; gains in percentage points"
        title += " of balanced accuracy" if comparison.select_by == BALANCED_ACCURACY else ""
        parts += _titled(f"{title}; coverage of the last labeling")
        shown = settings.select([column.key for column in settings.columns[1:]])
        parts.append(_fitted(_with_short_titles(shown, comparison.columns), comparison.columns, console))
    if references:
        parts += _titled(references.caption)
        parts.append(_render(_with_short_titles(references, comparison.columns)))
    if comparison.unfinished:
        parts += _titled("Not finished")
        runs = runs_table(comparison, str)
        rows = runs.rows[-len(comparison.unfinished) :]
        varied = [column.key for column in runs.columns[3 : 3 + len(comparison.columns)]]
        shown = Table(runs.id, runs.caption, "", runs.columns, rows).select(["run", "status", *varied, "reason"])
        shown = shown.select([key for key in _keys(shown) if key not in _constant(shown, comparison.columns)])
        parts.append(_render(_with_short_titles(shown, comparison.columns), wrap=True))
    return parts


def _titled(title: str) -> list[RichTable | Text]:
    return [Text(), Text(title, style="italic")]


def short_titles(keys: Sequence[str]) -> dict[str, str]:
    """Shorten the names of settings for the columns of a table: `threshold.tau` becomes `tau`, `method.name` `method`.

    A name is not shortened if another setting, or a column with a metric, would have the same title.

    Returns:
        Key of each setting -> title.
    """
    short = {key: (key.removesuffix(".name") if key.endswith(".name") else key).rpartition(".")[2] for key in keys}
    taken = Counter([*short.values(), *OTHER_TITLES])
    return {key: name if taken[name] == 1 else key.replace(".", ".\n") for key, name in short.items()}


def _with_short_titles(table: Table, settings: Sequence[str]) -> Table:
    titles = short_titles(settings)
    columns = [
        replace(column, title=printable(titles[column.key])) if column.key in titles else column
        for column in table.columns
    ]
    return replace(table, columns=columns)


def _keys(table: Table) -> list[str]:
    return [column.key for column in table.columns]


def _constant(table: Table, settings: Sequence[str]) -> list[str]:
    """List the settings that have the same value in all rows that are shown; [] if only one row is shown."""
    rows = table.rows[:MAX_ROWS]
    if len(rows) < 2:
        return []
    places = [place for place, column in enumerate(table.columns) if column.key in settings]
    return [table.columns[place].key for place in places if len({row.cells[place].text for row in rows}) == 1]


def _fitted(table: Table, settings: Sequence[str], console: Console) -> RichTable:
    """Render a table for the terminal, without settings that have the same value in all rows that are shown.

    If the terminal is too narrow, further columns are left out: first those with the highest `priority`, then settings,
    from the last to the second. The caption of the table names the settings that are left out for this reason.

    Args:
        settings: keys of the columns with settings.
    """
    keys = [key for key in _keys(table) if key not in _constant(table, settings)]
    table = table.select(keys)
    for priority in range(max(column.priority for column in table.columns), 0, -1):
        if _fits(_render(table), console):
            break
        table = table.select([column.key for column in table.columns if column.priority < priority])
    left_out: list[str] = []
    shown = [key for key in keys if key in settings]
    while len(shown) > 1 and not _fits(_render(table), console):
        left_out.insert(0, shown.pop())
        table = table.select([key for key in _keys(table) if key != left_out[0]])
    rendered = _render(table)
    if left_out:
        more = f"{len(table.rows) - MAX_ROWS} more rows and " if len(table.rows) > MAX_ROWS else ""
        rendered.caption = Text(f"{more}in comparison.csv: {printable(', '.join(left_out), 1000)}", style="dim")
    return rendered


def _fits(rendered: RichTable, console: Console) -> bool:
    wide = console.options.update(width=10_000, max_width=10_000)
    return Measurement.get(console, wide, rendered).maximum <= console.width


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
