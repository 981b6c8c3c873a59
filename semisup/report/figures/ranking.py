"""Draw a chart with one row for each setting: its accuracy, and its gain over its control.

The accuracies of two reference runs are shown too: of the control (the same run without unlabeled images) and of the
baseline (labels only, without augmentation).
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from semisup.analysis.comparison import Comparison
from semisup.analysis.rows import ReferenceGain, Row, split_of
from semisup.analysis.run_settings import sort_key
from semisup.analysis.spread import Spread, over_seeds
from semisup.report.figures.style import BLACK, BLUE, GRAY, GRID, ORANGE, PALE
from semisup.report.format_numbers import format_mean_std, mean_gain, missing_reason
from semisup.report.wording import measure_name, row_name, title

MAX_ROWS = 30
WIDTH_INCHES = 14


def ranking_figure(comparison: Comparison) -> Figure:
    """Draw the accuracies and gains of at most MAX_ROWS settings.

    The setting with the best validation accuracy is at the top; but if the settings differ in one key only, they are in
    the order of its values.
    """
    figure = Figure(layout="constrained")
    rows = comparison.rows[:MAX_ROWS]
    if len(comparison.columns) == 1:
        rows.sort(key=lambda row: sort_key(row.settings.get(comparison.columns[0])))
    figure.suptitle(title(comparison), fontsize=15, x=0.01, ha="left")
    if not rows:
        figure.set_size_inches(WIDTH_INCHES, 2)
        return figure
    figure.set_size_inches(WIDTH_INCHES, 2.4 + 0.6 * len(rows))
    split = "test" if all(row.split == "test" for row in comparison.rows) else "validation"
    if any(row.controls for row in rows):
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        _draw_gains(right, rows, comparison.control_name)
    else:
        left = figure.subplots()
    for panel in figure.axes:
        _frame_best(panel, rows, comparison)
    _draw_accuracies(left, rows, split)
    left.set_yticks(range(len(rows)), [row_name(row) for row in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(handles=_handles(rows), loc="outside lower left", ncols=3, frameon=False, fontsize=10)
    return figure


def _draw_accuracies(panel: Axes, rows: list[Row], split: str) -> None:
    for position, row in enumerate(rows):
        for pairs, color, marker, below in ((row.controls, ORANGE, "D", 0.05), (row.baselines, GRAY, "x", 0.3)):
            runs = [other for pair in pairs if (other := pair.finished)]
            reference = over_seeds(runs, split) if split_of(runs) == split else None
            _point(panel, reference, position + below, color, marker, 100)
        _point(panel, row.score(split), position - 0.2, BLUE, "o", 100)
        seeds = [100 * value for run in row.runs if (value := run.score(split)) is not None]
        panel.plot(seeds, [position - 0.2] * len(seeds), "|", color=BLUE, markersize=12, alpha=0.6)
    panel.set_title(f"{split.capitalize()} {measure_name(rows[0])}, %", loc="left", fontsize=13)
    _finish(panel)


def _draw_gains(panel: Axes, rows: list[Row], control: str) -> None:
    panel.axvline(0, color=BLACK, linewidth=1)
    for position, row in enumerate(rows):
        value = mean_gain(row.controls)
        _point(panel, value, position, BLUE, "o", 1)
        text = format_mean_std(value, signed=True) if value else _missing(row.controls)
        options: dict[str, Any] = {"xytext": (6, 7), "textcoords": "offset points", "fontsize": 10}
        panel.annotate(text, (value.mean if value else 0, position), color=BLACK if value else GRAY, **options)
    panel.plot([-1, 1], [0, 0], alpha=0)  # the axis spans at least 2 points, however small the gains are
    panel.set_title(f"Gain over the {control}, percentage points", loc="left", fontsize=13)
    panel.tick_params(labelleft=False)
    _finish(panel)


def _frame_best(panel: Axes, rows: list[Row], comparison: Comparison) -> None:
    for position, row in enumerate(rows):
        if row is comparison.best and len(rows) > 1:
            panel.axhspan(position - 0.5, position + 0.5, color=PALE, zorder=0)


def _missing(pairs: tuple[ReferenceGain, ...]) -> str:
    return missing_reason(pairs, "control") if pairs else "labels only"


def _point(panel: Axes, value: Spread | None, position: float, color: str, marker: str, unit: float) -> None:
    if value is None:
        return
    error = None if value.deviation is None else value.deviation * unit
    style: dict[str, Any] = {"fmt": marker, "color": color, "capsize": 3, "markersize": 8}
    fill = color if marker == "o" else "white"
    panel.errorbar(value.mean * unit, position, xerr=error, markerfacecolor=fill, **style)


def _finish(panel: Axes) -> None:
    panel.grid(axis="x", color=GRID)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=11, length=0)
    panel.spines[:].set_visible(False)
    panel.margins(x=0.1)


def _handles(rows: list[Row]) -> list[Line2D]:
    shared: dict[str, Any] = {"linestyle": "none", "markersize": 8}
    run = "run: mean ± spread, ticks: seeds, shaded: best on validation"
    handles = [Line2D([], [], color=BLUE, marker="o", label=run, **shared)]
    if any(row.controls for row in rows):
        control, baseline = "control: labels only, as many steps", "baseline: no augmentation, labeled passes only"
        handles.append(Line2D([], [], color=ORANGE, marker="D", markerfacecolor="white", label=control, **shared))
        handles.append(Line2D([], [], color=GRAY, marker="x", label=baseline, **shared))
    return handles
