"""Create the tables of a comparison as data, for the terminal and for HTML.

There are three tables: settings (one line for all runs that differ only in seed and fold), reference runs, and runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from semisup.analysis.comparison import Comparison
from semisup.analysis.gains import BASELINE, CONTROL, KINDS, LABELS_ONLY
from semisup.analysis.reference_groups import ReferenceGroup
from semisup.analysis.rows import ReferenceGain, Row
from semisup.analysis.runs import ACCURACY, BALANCED_ACCURACY, Run, as_number
from semisup.analysis.selection import METRIC_NAMES
from semisup.analysis.spread import Spread, mean_validation_score, summarize
from semisup.record.status import RunStatus
from semisup.report.format_numbers import format_gain, format_mean_std, format_number
from semisup.text import printable, shell_quote

Link = Callable[[Path], str]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    key: name of the column in a filter that the user types in the HTML page
    number: whether the cells begin with a number
    sorted: whether the lines are in the order of this column
    ascending: whether this order is ascending, as of the loss
    priority: on a narrow terminal, columns with the highest value of `priority` are left out first
    """

    key: str
    title: str
    number: bool = True
    sorted: bool = False
    ascending: bool = False
    priority: int = 0


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    href: relative URL of the run or file that the cell names; "" for none
    command: whether the text is a command to type
    color: color of the text on a terminal
    """

    text: str
    href: str = ""
    command: bool = False
    color: str = ""


@dataclass(frozen=True)
class Line:
    cells: list[Cell]
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a comparison, for the terminal and for HTML.

    id: HTML id, unique in a page
    example: example of a filter that the user can type
    """

    id: str
    caption: str
    example: str
    columns: list[Column]
    rows: list[Line]

    def select(self, keys: Sequence[str]) -> "Table":
        """Return the table with only these columns."""
        places = [place for place, column in enumerate(self.columns) if column.key in keys]
        rows = [Line([row.cells[place] for place in places], row.best) for row in self.rows]
        return Table(self.id, self.caption, self.example, [self.columns[place] for place in places], rows)


MEASURED = [
    Column("val", "val %", sorted=True),
    Column("test", "test %"),
    Column("gain", "gain over\ncontrol"),
    Column("gain_over_labels_only", "gain over best\nlabels-only"),
    Column("gain_over_baseline", "gain over\nbaseline", priority=1),
    Column("coverage", "coverage\n%", priority=1),
    Column("pseudo_accuracy", "pseudo-\naccuracy %", priority=1),
    Column("steps", "steps", priority=2),
    Column("seconds", "seconds", priority=3),
]
ENSEMBLE = Column("ensemble", "ensemble\ntest %", priority=1)
"""Column with the test accuracy, or balanced accuracy, of the mean of the class probabilities of all seeds."""

STATUS_COLORS: dict[str, str] = {
    **dict.fromkeys((RunStatus.FAILED, RunStatus.DIVERGED, RunStatus.COLLAPSED, RunStatus.UNREADABLE), "red"),
    **dict.fromkeys((RunStatus.INTERRUPTED, RunStatus.RUNNING, RunStatus.STOPPED), "yellow"),
}


def settings_table(comparison: Comparison, link: Link, suffix: str = "") -> Table | None:
    """Create the table of settings, with one line for each setting; None if no run is finished.

    Args:
        link: function that returns the relative URL of a run directory.
        suffix: end of the HTML id of the table.
    """
    if not comparison.rows:
        return None
    varied = _setting_columns(comparison, [row.settings for row in comparison.rows])
    over = comparison.repeated_by
    columns = [Column("best", "best run", number=False), *(varied or [METHOD]), _count_column(comparison)]
    measured = _measured_columns(comparison)
    before = [column.key for column in measured].index("gain")
    columns += [*measured[:before], *_ensemble_columns(comparison.rows), *measured[before:]]
    lines = [Line(_row_cells(comparison, row, link), row is comparison.best) for row in comparison.rows]
    caption = f"Mean ± spread over {over}, best on validation first; gains in percentage points, paired by {over}"
    return Table(f"settings{suffix}", caption, _filter_example(varied), columns, lines)


def runs_table(comparison: Comparison, link: Link, suffix: str = "") -> Table:
    """Create the table of runs, with one line for each run; unfinished runs are last.

    Args:
        link: function that returns the relative URL of a run directory.
        suffix: end of the HTML id of the table.
    """
    varied = _setting_columns(comparison, [comparison.flat(run) for run in comparison.runs])
    columns = [Column("run", "run", number=False), Column("role", "role", number=False)]
    columns += [Column("status", "status", number=False), *varied, Column("seed", "seed")]
    columns += _measured_columns(comparison)
    columns += [Column("reason", "reason", number=False), Column("command", "command", number=False)]
    runs = sorted(comparison.runs, key=lambda run: (not run.done, -mean_validation_score([run])))
    lines = [Line(_run_cells(comparison, run, link)) for run in runs]
    return Table(
        f"runs{suffix}", "Every run, controls and failures too", "status!=done  or  val>90 seed=0", columns, lines
    )


def references_table(comparison: Comparison) -> Table | None:
    """Create the table of reference runs (labels-only runs over which gains are computed); None without such runs."""
    references = comparison.references
    if not references:
        return None
    keys = [key for key in comparison.columns if any(key in group.settings for group in references)]
    split = "test" if all(group.split == "test" for group in references) else "validation"
    columns = [Column("kind", "", number=False), *(_setting_column(key) for key in keys)]
    ensemble = _ensemble_columns(references)
    balanced = "\nbalanced" if comparison.select_by == BALANCED_ACCURACY else ""
    columns += [
        _count_column(comparison),
        Column("accuracy", f"{split}{balanced} %"),
        *ensemble,
        Column("steps", "steps"),
    ]
    lines = [
        Line(
            [
                Cell(group.name),
                *_setting_cells(keys, group.settings),
                Cell(str(group.accuracy.count if group.accuracy else 0)),
                Cell(format_mean_std(group.accuracy, unit=100)),
                *(Cell(format_number(group.ensemble, 100, 1)) for _ in ensemble),
                Cell(_steps(group)),
            ]
        )
        for group in references
    ]
    return Table("references", "References of the gains: labels only", "", columns, lines)


def reproduce_command(run: Run) -> str:
    """Return the `semisup reproduce` command for a run; "" if the run's config cannot be read."""
    return f"semisup reproduce {shell_quote(run.folder)}" if run.identity else ""


METHOD = Column("method", "method", number=False)


def _setting_columns(comparison: Comparison, flats: list[dict[str, Any]]) -> list[Column]:
    return [
        _setting_column(key, all(flat.get(key) is None or as_number(flat[key]) is not None for flat in flats))
        for key in comparison.columns
    ]


def _setting_column(key: str, number: bool = True) -> Column:
    return Column(printable(key), printable(key).replace(".", ".\n"), number)


def _setting_cells(keys: list[str], settings: dict[str, Any]) -> list[Cell]:
    return [Cell(printable(settings[key]) if key in settings else "") for key in keys]


def _count_column(comparison: Comparison) -> Column:
    """Return the column that shows how often a setting was run: number of seeds, of folds or, if both vary, of runs."""
    over = comparison.repeated_by
    return Column("seeds", "runs" if " " in over else over)


def _filter_example(varied: list[Column]) -> str:
    numeric = [column.key.rpartition(".")[2] for column in varied if column.number]
    return f"{numeric[0]}>0.5  or  val>90" if numeric else "val>90"


def _measured_columns(comparison: Comparison) -> list[Column]:
    """Return those columns of the settings table that show accuracies and gains.

    If rows are ranked by the loss or macro F1, the first column shows it.
    """
    titles = {"gain": f"gain over\n{comparison.control_name}"}
    if comparison.select_by == BALANCED_ACCURACY:
        titles |= {"val": "val\nbalanced %", "test": "test\nbalanced %"}
    columns = [replace(column, title=titles.get(column.key, column.title)) for column in MEASURED]
    if not _ranked_by_another(comparison):
        return columns
    is_loss = comparison.select_by == "loss"
    title = f"val\n{METRIC_NAMES[comparison.select_by]}{'' if is_loss else ' %'}"
    ranked = Column(comparison.select_by, title, sorted=True, ascending=is_loss)
    return [ranked, replace(columns[0], sorted=False), *columns[1:]]


def _ranked_by_another(comparison: Comparison) -> bool:
    """Whether rows are ranked by another metric than the one in which gains are measured."""
    return comparison.select_by not in (ACCURACY, BALANCED_ACCURACY)


def _ranked_cells(comparison: Comparison, value: Spread | None) -> list[Cell]:
    if not _ranked_by_another(comparison):
        return []
    if comparison.select_by == "loss":
        return [Cell(format_number(value.mean if value else None, digits=3))]
    return [Cell(format_mean_std(value, unit=100))]


def _ensemble_columns(rows: Sequence[Row | ReferenceGroup]) -> list[Column]:
    if all(row.ensemble is None for row in rows):
        return []
    balanced = rows[0].runs[0].measure == BALANCED_ACCURACY
    return [replace(ENSEMBLE, title="ensemble test\nbalanced %") if balanced else ENSEMBLE]


def _row_cells(comparison: Comparison, row: Row, link: Link) -> list[Cell]:
    best = row.best_run
    settings = _setting_cells(comparison.columns, row.settings)
    return [
        Cell(f"seed {best.seed}" + ("" if best.fold is None else f", fold {best.fold}"), link(best.folder)),
        *(settings or [Cell(printable(best.config["method"]["name"]))]),
        Cell(str(len(row.runs))),
        *_ranked_cells(comparison, row.selection_value),
        Cell(format_mean_std(row.score("validation"), unit=100)),
        Cell(format_mean_std(row.score("test"), unit=100)),
        *(Cell(format_number(row.ensemble, 100, 1)) for _ in _ensemble_columns(comparison.rows)),
        _gain_cell(row, CONTROL),
        _gain_cell(row, LABELS_ONLY),
        _gain_cell(row, BASELINE),
        Cell(format_number(row.mean("pseudo/coverage"), 100, 1)),
        Cell(format_number(row.mean("pseudo/accuracy"), 100, 1)),
        Cell(format_number(row.mean("steps"))),
        Cell(format_number(row.mean("seconds"))),
    ]


def _run_cells(comparison: Comparison, run: Run, link: Link) -> list[Cell]:
    references = comparison.references_of.get(str(run.folder), {})
    command = reproduce_command(run)
    return [
        Cell(printable(run.id), link(run.folder)),
        Cell(comparison.roles.get(run.id, "run")),
        Cell(run.status, color=STATUS_COLORS.get(run.status, "")),
        *_setting_cells(comparison.columns, comparison.flat(run)),
        Cell("" if run.seed is None else printable(run.seed)),
        *_ranked_cells(comparison, summarize([run.selection_value if run.done else None])),
        Cell(format_number(run.score("validation") if run.done else None, 100, 1)),
        Cell(format_number(run.score("test") if run.done else None, 100, 1)),
        *(Cell(_points(references.get(kind))) for kind in KINDS),
        Cell(format_number(run.number("pseudo/coverage"), 100, 1)),
        Cell(format_number(run.number("pseudo/accuracy"), 100, 1)),
        Cell(format_number(run.number("steps"))),
        Cell(format_number(run.seconds)),
        Cell(printable(run.reason)),
        Cell(command, command=bool(command)),
    ]


def _gain_cell(row: Row, kind: str) -> Cell:
    """Create the table cell of a gain: green if its confidence interval lies above 0, yellow if the gain is unknown.

    Args:
        kind: the runs over which the gain is computed: CONTROL, LABELS_ONLY or BASELINE.
    """
    pairs = row.references(kind)
    if not pairs:
        return Cell("")
    gain = row.gains.get(kind)
    interval = gain.sweep_interval if gain else None
    color = "yellow" if gain is None else "green" if interval and interval.low > 0 else ""
    return Cell(format_gain(pairs, kind), color=color)


def _points(pair: ReferenceGain | None) -> str:
    if pair is None:
        return ""
    return pair.state if pair.points is None else f"{pair.points:+z.1f}"


def _steps(group: ReferenceGroup) -> str:
    steps = [int(run.number("steps") or 0) for run in group.runs]
    return f"{min(steps)}" if min(steps) == max(steps) else f"{min(steps)}-{max(steps)}"
