"""The two tables of a report that can be sorted and filtered: settings over seeds, and every run with its command."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semisup.analysis.comparison import Comparison, Pair, Row
from semisup.analysis.runs import Run, number
from semisup.report.wording import gain, lack, percent
from semisup.runtime.text import typed, visible

Link = Callable[[Path], str]


@dataclass(frozen=True)
class Column:
    """key: what a filter calls it; number: the cells begin with one."""

    key: str
    title: str
    number: bool = True
    sorted: bool = False


@dataclass(frozen=True)
class Cell:
    text: str
    number: bool = True
    href: str = ""
    command: bool = False


@dataclass(frozen=True)
class Line:
    cells: list[Cell]
    best: bool = False


@dataclass(frozen=True)
class Table:
    """id: unique in the page; example: of a filter."""

    id: str
    caption: str
    example: str
    columns: list[Column]
    rows: list[Line]


MEASURED = [
    Column("val", "val %", sorted=True),
    Column("test", "test %"),
    Column("gain", "gain over\ncontrol"),
    Column("gain_over_baseline", "gain over\nbaseline"),
    Column("coverage", "coverage\n%"),
    Column("pseudo_accuracy", "pseudo-\naccuracy %"),
    Column("steps", "steps"),
    Column("seconds", "seconds"),
]


def settings_table(comparison: Comparison, link: Link, suffix: str = "") -> Table | None:
    """One line for each row of the comparison; None of none."""
    if not comparison.rows:
        return None
    varied = _setting_columns(comparison, [row.settings for row in comparison.rows])
    columns = [Column("best", "best run", number=False), *varied, Column("seeds", "seeds"), *MEASURED]
    lines = [Line(_cells_of_row(comparison, row, varied, link), row is comparison.best) for row in comparison.rows]
    caption = "Mean ± spread over seeds, best on validation first; gains in percentage points, seed by seed"
    return Table(f"settings{suffix}", caption, _example(varied), columns, lines)


def runs_table(comparison: Comparison, link: Link, suffix: str = "") -> Table:
    """One line for each run, those that are not done last."""
    varied = _setting_columns(comparison, [comparison.flat(run) for run in comparison.runs])
    columns = [Column("run", "run", number=False), Column("role", "role", number=False)]
    columns += [Column("status", "status", number=False), *varied, Column("seed", "seed"), *MEASURED]
    columns += [Column("reason", "reason", number=False), Column("command", "command", number=False)]
    roles = _roles(comparison)
    runs = sorted(comparison.runs, key=lambda run: -(run.accuracy("validation") or -1 if run.done else -1))
    lines = [Line(_cells_of_run(comparison, run, roles.get(run.id, "run"), varied, link)) for run in runs]
    caption = "Every run, controls and failures too"
    return Table(f"runs{suffix}", caption, "status!=done  or  val>90 seed=0", columns, lines)


def command_of(run: Run) -> str:
    """What makes it again; "" where its config cannot be read."""
    return f"semisup reproduce {typed(run.folder)}" if run.identity else ""


def _roles(comparison: Comparison) -> dict[str, str]:
    kinds: dict[str, set[str]] = {}
    for reference in comparison.references:
        for run in reference.runs:
            kinds.setdefault(run.id, set()).add(reference.kind)
    return {id_: " and ".join(sorted(each, reverse=True)) for id_, each in kinds.items()}


def _setting_columns(comparison: Comparison, flats: list[dict[str, Any]]) -> list[Column]:
    found = []
    for key in comparison.columns:
        numeric = all(flat.get(key) is None or number(flat[key]) is not None for flat in flats)
        found.append(Column(visible(key), visible(key).replace(".", ".\n"), numeric))
    return found


def _example(varied: list[Column]) -> str:
    numeric = [column.key.rpartition(".")[2] for column in varied if column.number]
    return f"{numeric[0]}>0.5  or  val>90" if numeric else "val>90"


def _cells_of_row(comparison: Comparison, row: Row, varied: list[Column], link: Link) -> list[Cell]:
    best = row.best_run
    return [
        Cell(f"seed {best.seed}", False, link(best.folder)),
        *_settings(comparison, row.settings, varied),
        Cell(str(len(row.runs))),
        Cell(percent(row.accuracy("validation"), unit=100)),
        Cell(percent(row.accuracy("test"), unit=100)),
        Cell(_gain(row.controls, "control")),
        Cell(_gain(row.baselines, "baseline")),
        Cell(_times(row.mean("pseudo/coverage"), 100, 1)),
        Cell(_times(row.mean("pseudo/accuracy"), 100, 1)),
        Cell(_times(row.mean("steps"), 1, 0)),
        Cell(_times(row.mean("seconds"), 1, 0)),
    ]


def _cells_of_run(comparison: Comparison, run: Run, role: str, varied: list[Column], link: Link) -> list[Cell]:
    control, baseline = comparison.references_of.get(str(run.folder), (None, None))
    command = command_of(run)
    return [
        Cell(visible(run.id), False, link(run.folder)),
        Cell(role, False),
        Cell(run.status, False),
        *_settings(comparison, comparison.flat(run), varied),
        Cell("" if run.seed is None else str(run.seed)),
        Cell(_times(run.accuracy("validation") if run.done else None, 100, 1)),
        Cell(_times(run.accuracy("test") if run.done else None, 100, 1)),
        Cell(_points(control)),
        Cell(_points(baseline)),
        Cell(_times(run.number("pseudo/coverage"), 100, 1)),
        Cell(_times(run.number("pseudo/accuracy"), 100, 1)),
        Cell(_times(run.number("steps"), 1, 0)),
        Cell(_times(run.seconds, 1, 0)),
        Cell(visible(run.reason), False),
        Cell(command, False, command=bool(command)),
    ]


def _settings(comparison: Comparison, flat: dict[str, Any], varied: list[Column]) -> list[Cell]:
    keys = zip(comparison.columns, varied, strict=True)
    return [Cell(visible(flat[key]) if key in flat else "", column.number) for key, column in keys]


def _gain(pairs: tuple[Pair, ...], kind: str) -> str:
    value = gain(pairs)
    return percent(value, signed=True) if value else lack(pairs, kind) if pairs else ""


def _points(pair: Pair | None) -> str:
    if pair is None:
        return ""
    return pair.state if pair.points is None else f"{pair.points:+z.1f}"


def _times(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value * unit:.{digits}f}"
