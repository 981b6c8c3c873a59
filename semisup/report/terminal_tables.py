"""A comparison as tables for a terminal: the rows, what they are measured against, and the runs that are not done.

Every cell is a rich Text, never markup: nothing that a run says of itself can color, move or hide anything.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from semisup.analysis.comparison import Comparison, ReferenceGain, ReferenceGroup, Row, Spread
from semisup.errors import escape
from semisup.report.wording import format_mean_std, mean_gain, missing_reason

ROWS_SHOWN = 50
NOTHING = Text("-", style="dim")
STYLES = {
    **dict.fromkeys(("failed", "diverged", "collapsed", "unreadable"), "red"),
    **dict.fromkeys(("interrupted", "running"), "yellow"),
}


@dataclass(frozen=True)
class TableColumn:
    """A column of the main table; those of a higher `rank` go first where the terminal is narrow."""

    title: str
    cell: Callable[[Row], Text]
    rank: int = 0
    measured: bool = True  # a number, never broken into two lines


def comparison_tables(comparison: Comparison, console: Console) -> list[Table | Text]:
    """What to print, in this order."""
    found: list[Table | Text] = []
    if comparison.rows:
        found += _titled("Best on validation first; ± is the spread over seeds; gains in percentage points")
        found.append(_main_table(comparison, console))
    if comparison.references:
        found += _titled("What the gains are measured against: labels only")
        found.append(_reference_table(comparison))
    if comparison.unfinished:
        found += _titled("Not finished")
        found.append(_unfinished_table(comparison))
    return found


def _titled(title: str) -> list[Table | Text]:
    return [Text(), Text(title, style="italic")]


def _main_table(comparison: Comparison, console: Console) -> Table:
    columns = _columns(comparison)
    for rank in range(max(column.rank for column in columns), -1, -1):
        table = _drawn([column for column in columns if column.rank <= rank], comparison)
        if _fits(table, console):
            break
    return table


def _fits(table: Table, console: Console) -> bool:
    wide = console.options.update(width=10_000, max_width=10_000)
    return Measurement.get(console, wide, table).maximum <= console.width


def _columns(comparison: Comparison) -> list[TableColumn]:
    settings = [
        TableColumn(escape(key).replace(".", ".\n"), _setting(key), measured=False) for key in comparison.columns
    ]
    measured = [
        TableColumn("seeds", lambda row: Text(str(len(row.runs)))),
        TableColumn("val %", lambda row: _plain(format_mean_std(row.accuracy("validation"), unit=100))),
        TableColumn("test %", lambda row: _plain(format_mean_std(row.accuracy("test"), unit=100))),
        TableColumn("gain over\ncontrol", lambda row: _gain(row.controls, "control")),
        TableColumn("gain over\nbaseline", lambda row: _gain(row.baselines, "baseline")),
        TableColumn("cover-\nage %", _mean("pseudo/coverage", 100, 1), rank=1),
        TableColumn("pseudo-\nlabels\nright %", _mean("pseudo/accuracy", 100, 1), rank=1),
        TableColumn("steps", _mean("steps", 1, 0), rank=2),
        TableColumn("seconds", _mean("seconds", 1, 0), rank=3),
    ]
    method = TableColumn("method", lambda row: _plain(escape(row.runs[0].config["method"]["name"])), measured=False)
    return [*(settings or [method]), *measured]


def _drawn(columns: list[TableColumn], comparison: Comparison) -> Table:
    table = _empty()
    for column in columns:
        table.add_column(Text(column.title), justify="right", overflow="fold", no_wrap=column.measured)
    for row in comparison.rows[:ROWS_SHOWN]:
        table.add_row(*(column.cell(row) for column in columns), style="bold" if row is comparison.best else None)
    _say_more(table, len(comparison.rows))
    return table


def _reference_table(comparison: Comparison) -> Table:
    keys = [key for key in comparison.columns if any(key in each.settings for each in comparison.references)]
    split = "test" if all(each.split == "test" for each in comparison.references) else "validation"
    table = _empty()
    table.add_column()
    for title in [escape(key).replace(".", ".\n") for key in keys] + ["seeds", f"{split} %", "steps"]:
        table.add_column(Text(title), justify="right", overflow="fold")
    for each in comparison.references[:ROWS_SHOWN]:
        settings = [_plain(escape(each.settings[key])) if key in each.settings else NOTHING for key in keys]
        accuracy = _plain(format_mean_std(each.accuracy, unit=100))
        table.add_row(Text(each.kind), *settings, Text(str(_count(each.accuracy))), accuracy, Text(_steps(each)))
    _say_more(table, len(comparison.references))
    return table


def _unfinished_table(comparison: Comparison) -> Table:
    table = _empty()
    keys = comparison.columns
    for title in ("run", "status", *[escape(key).replace(".", ".\n") for key in keys], "reason"):
        table.add_column(Text(title), overflow="fold")
    for run in comparison.unfinished[:ROWS_SHOWN]:
        flat = comparison.flat(run)
        settings = [_plain(escape(flat[key])) if key in flat else NOTHING for key in keys]
        status = Text(run.status, style=STYLES[run.status])
        table.add_row(_plain(escape(run.id)), status, *settings, _plain(run.reason))
    _say_more(table, len(comparison.unfinished))
    return table


def _empty() -> Table:
    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _say_more(table: Table, count: int) -> None:
    if count > ROWS_SHOWN:
        table.caption = Text(f"{count - ROWS_SHOWN} more in comparison.csv", style="dim")


def _setting(key: str) -> Callable[[Row], Text]:
    return lambda row: _plain(escape(row.settings[key])) if key in row.settings else NOTHING


def _mean(name: str, unit: float, digits: int) -> Callable[[Row], Text]:
    def cell(row: Row) -> Text:
        value = row.mean(name)
        return NOTHING if value is None else Text(f"{value * unit:.{digits}f}")

    return cell


def _gain(pairs: tuple[ReferenceGain, ...], kind: str) -> Text:
    value = mean_gain(pairs)
    if not pairs:
        return NOTHING
    if value is None:
        return Text(missing_reason(pairs, kind), style="yellow")
    some = "" if value.count == len(pairs) else f" ({value.count} of {len(pairs)})"
    return Text(format_mean_std(value, signed=True) + some, style="green" if value.clear else "")


def _plain(text: str) -> Text:
    return Text(text)


def _count(value: Spread | None) -> int:
    return value.count if value else 0


def _steps(reference: ReferenceGroup) -> str:
    steps = [int(run.number("steps") or 0) for run in reference.runs]
    return f"{min(steps)}" if min(steps) == max(steps) else f"{min(steps)}-{max(steps)}"
