"""The two tables of a report that can be sorted and filtered: settings over seeds, and every run with its command."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semisup.analysis.comparison import Comparison, ReferenceGain, Row
from semisup.analysis.runs import Run, as_number
from semisup.report.wording import format_mean_std, mean_gain, missing_reason
from semisup.runtime.text import printable, shell_quote

Link = Callable[[Path], str]


@dataclass(frozen=True)
class HtmlColumn:
    """key: what a filter calls it; number: the cells begin with one."""

    key: str
    title: str
    number: bool = True
    sorted: bool = False


@dataclass(frozen=True)
class HtmlCell:
    text: str
    number: bool = True
    href: str = ""
    command: bool = False


@dataclass(frozen=True)
class Line:
    cells: list[HtmlCell]
    best: bool = False


@dataclass(frozen=True)
class Table:
    """id: unique in the page; example: of a filter."""

    id: str
    caption: str
    example: str
    columns: list[HtmlColumn]
    rows: list[Line]


MEASURED = [
    HtmlColumn("val", "val %", sorted=True),
    HtmlColumn("test", "test %"),
    HtmlColumn("gain", "gain over\ncontrol"),
    HtmlColumn("gain_over_baseline", "gain over\nbaseline"),
    HtmlColumn("coverage", "coverage\n%"),
    HtmlColumn("pseudo_accuracy", "pseudo-\naccuracy %"),
    HtmlColumn("steps", "steps"),
    HtmlColumn("seconds", "seconds"),
]


def settings_table(comparison: Comparison, link: Link, suffix: str = "") -> Table | None:
    """One line for each row of the comparison; None of none."""
    if not comparison.rows:
        return None
    varied = _setting_columns(comparison, [row.settings for row in comparison.rows])
    columns = [HtmlColumn("best", "best run", number=False), *varied, HtmlColumn("seeds", "seeds"), *MEASURED]
    lines = [Line(_cells_of_row(comparison, row, varied, link), row is comparison.best) for row in comparison.rows]
    caption = "Mean ± spread over seeds, best on validation first; gains in percentage points, seed by seed"
    return Table(f"settings{suffix}", caption, _example(varied), columns, lines)


def runs_table(comparison: Comparison, link: Link, suffix: str = "") -> Table:
    """One line for each run, those that are not done last."""
    varied = _setting_columns(comparison, [comparison.flat(run) for run in comparison.runs])
    columns = [HtmlColumn("run", "run", number=False), HtmlColumn("role", "role", number=False)]
    columns += [HtmlColumn("status", "status", number=False), *varied, HtmlColumn("seed", "seed"), *MEASURED]
    columns += [HtmlColumn("reason", "reason", number=False), HtmlColumn("command", "command", number=False)]
    roles = _roles(comparison)
    runs = sorted(comparison.runs, key=lambda run: -(run.accuracy("validation") or -1 if run.done else -1))
    lines = [Line(_cells_of_run(comparison, run, roles.get(run.id, "run"), varied, link)) for run in runs]
    caption = "Every run, controls and failures too"
    return Table(f"runs{suffix}", caption, "status!=done  or  val>90 seed=0", columns, lines)


def run_command_text(run: Run) -> str:
    """What makes it again; "" where its config cannot be read."""
    return f"semisup reproduce {shell_quote(run.folder)}" if run.identity else ""


def _roles(comparison: Comparison) -> dict[str, str]:
    kinds: dict[str, set[str]] = {}
    for reference in comparison.references:
        for run in reference.runs:
            kinds.setdefault(run.id, set()).add(reference.kind)
    return {id_: " and ".join(sorted(each, reverse=True)) for id_, each in kinds.items()}


def _setting_columns(comparison: Comparison, flats: list[dict[str, Any]]) -> list[HtmlColumn]:
    found = []
    for key in comparison.columns:
        numeric = all(flat.get(key) is None or as_number(flat[key]) is not None for flat in flats)
        found.append(HtmlColumn(printable(key), printable(key).replace(".", ".\n"), numeric))
    return found


def _example(varied: list[HtmlColumn]) -> str:
    numeric = [column.key.rpartition(".")[2] for column in varied if column.number]
    return f"{numeric[0]}>0.5  or  val>90" if numeric else "val>90"


def _cells_of_row(comparison: Comparison, row: Row, varied: list[HtmlColumn], link: Link) -> list[HtmlCell]:
    best = row.best_run
    return [
        HtmlCell(f"seed {best.seed}", False, link(best.folder)),
        *_settings(comparison, row.settings, varied),
        HtmlCell(str(len(row.runs))),
        HtmlCell(format_mean_std(row.accuracy("validation"), unit=100)),
        HtmlCell(format_mean_std(row.accuracy("test"), unit=100)),
        HtmlCell(_gain(row.controls, "control")),
        HtmlCell(_gain(row.baselines, "baseline")),
        HtmlCell(_times(row.mean("pseudo/coverage"), 100, 1)),
        HtmlCell(_times(row.mean("pseudo/accuracy"), 100, 1)),
        HtmlCell(_times(row.mean("steps"), 1, 0)),
        HtmlCell(_times(row.mean("seconds"), 1, 0)),
    ]


def _cells_of_run(comparison: Comparison, run: Run, role: str, varied: list[HtmlColumn], link: Link) -> list[HtmlCell]:
    control, baseline = comparison.references_of.get(str(run.folder), (None, None))
    command = run_command_text(run)
    return [
        HtmlCell(printable(run.id), False, link(run.folder)),
        HtmlCell(role, False),
        HtmlCell(run.status, False),
        *_settings(comparison, comparison.flat(run), varied),
        HtmlCell("" if run.seed is None else str(run.seed)),
        HtmlCell(_times(run.accuracy("validation") if run.done else None, 100, 1)),
        HtmlCell(_times(run.accuracy("test") if run.done else None, 100, 1)),
        HtmlCell(_points(control)),
        HtmlCell(_points(baseline)),
        HtmlCell(_times(run.number("pseudo/coverage"), 100, 1)),
        HtmlCell(_times(run.number("pseudo/accuracy"), 100, 1)),
        HtmlCell(_times(run.number("steps"), 1, 0)),
        HtmlCell(_times(run.seconds, 1, 0)),
        HtmlCell(printable(run.reason), False),
        HtmlCell(command, False, command=bool(command)),
    ]


def _settings(comparison: Comparison, flat: dict[str, Any], varied: list[HtmlColumn]) -> list[HtmlCell]:
    keys = zip(comparison.columns, varied, strict=True)
    return [HtmlCell(printable(flat[key]) if key in flat else "", column.number) for key, column in keys]


def _gain(pairs: tuple[ReferenceGain, ...], kind: str) -> str:
    value = mean_gain(pairs)
    return format_mean_std(value, signed=True) if value else missing_reason(pairs, kind) if pairs else ""


def _points(pair: ReferenceGain | None) -> str:
    if pair is None:
        return ""
    return pair.state if pair.points is None else f"{pair.points:+z.1f}"


def _times(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value * unit:.{digits}f}"
