"""The rows of a comparison one by one: accuracy beside control and baseline, and the gain over the control."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from semisup.analysis.comparison import (
    Comparison,
    ReferenceGain,
    Row,
    Spread,
    format_settings,
    over_seeds,
    sort_key,
    split_of,
)
from semisup.errors import escape
from semisup.report.wording import format_mean_std, mean_gain, missing_reason, title

MOST_ROWS = 30
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"  # Okabe and Ito's, told apart by shape as well
WIDTH_INCHES = 14


def ranking_figure(figure: Figure, comparison: Comparison) -> None:
    """Best on validation at the top, or in the order of the one setting that differs; at most MOST_ROWS."""
    rows = comparison.rows[:MOST_ROWS]
    if len(comparison.columns) == 1:
        rows.sort(key=lambda row: sort_key(row.settings.get(comparison.columns[0])))
    figure.suptitle(title(comparison), fontsize=15, x=0.01, ha="left", parse_math=False)
    if not rows:
        figure.set_size_inches(WIDTH_INCHES, 2)
        return
    figure.set_size_inches(WIDTH_INCHES, 2.4 + 0.6 * len(rows))
    split = "test" if all(row.split == "test" for row in comparison.rows) else "validation"
    if any(row.controls for row in rows):
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        _draw_gains(right, rows)
    else:
        left = figure.subplots()
    for panel in figure.axes:
        _frame_best(panel, rows, comparison)
    _draw_accuracies(left, rows, split)
    left.set_yticks(range(len(rows)), [row_name(row) for row in rows], parse_math=False)
    left.set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(handles=_handles(rows), loc="outside lower left", ncols=3, frameon=False, fontsize=10)


def row_name(row: Row, most: int = 60) -> str:
    """Its settings, in at most so many letters."""
    words = format_settings(row.settings) or escape(row.runs[0].config["method"]["name"])
    return words if len(words) <= most else words[: most - 3] + "..."


def _draw_accuracies(panel: Axes, rows: list[Row], split: str) -> None:
    for position, row in enumerate(rows):
        for pairs, color, marker, below in ((row.controls, ORANGE, "D", 0.05), (row.baselines, GREY, "x", 0.3)):
            runs = [pair.other for pair in pairs if pair.state == "done" and pair.other]
            reference = over_seeds(runs, split) if split_of(runs) == split else None
            _point(panel, reference, position + below, color, marker, 100)
        _point(panel, row.accuracy(split), position - 0.2, BLUE, "o", 100)
        seeds = [100 * value for run in row.runs if (value := run.accuracy(split)) is not None]
        panel.plot(seeds, [position - 0.2] * len(seeds), "|", color=BLUE, markersize=12, alpha=0.6)
    panel.set_title(f"{split.capitalize()} accuracy, %", loc="left", fontsize=13)
    _finish(panel)


def _draw_gains(panel: Axes, rows: list[Row]) -> None:
    panel.axvline(0, color="black", linewidth=1)
    for position, row in enumerate(rows):
        value = mean_gain(row.controls)
        _point(panel, value, position, BLUE, "o", 1)
        words = f"{format_mean_std(value, signed=True)}" if value else _why(row.controls)
        where: dict[str, Any] = {"xytext": (6, 7), "textcoords": "offset points", "fontsize": 10}
        panel.annotate(words, (value.mean if value else 0, position), color="black" if value else GREY, **where)
    panel.plot([-1, 1], [0, 0], alpha=0)  # however small the gains are, a point is no wider than half of it
    panel.set_title("Gain over the control, percentage points", loc="left", fontsize=13)
    panel.tick_params(labelleft=False)
    _finish(panel)


def _frame_best(panel: Axes, rows: list[Row], comparison: Comparison) -> None:
    for position, row in enumerate(rows):
        if row is comparison.best and len(rows) > 1:
            panel.axhspan(position - 0.5, position + 0.5, color="#e8f1f8", zorder=0)


def _why(pairs: tuple[ReferenceGain, ...]) -> str:
    return missing_reason(pairs, "control") if pairs else "labels only"


def _point(panel: Axes, value: Spread | None, position: float, color: str, marker: str, unit: float) -> None:
    if value is None:
        return
    error = None if value.deviation is None else value.deviation * unit
    style: dict[str, Any] = {"fmt": marker, "color": color, "capsize": 3, "markersize": 8}
    fill = color if marker == "o" else "white"
    panel.errorbar(value.mean * unit, position, xerr=error, markerfacecolor=fill, **style)


def _finish(panel: Axes) -> None:
    panel.grid(axis="x", color="#dddddd")
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=11, length=0)
    panel.spines[:].set_visible(False)
    panel.margins(x=0.1)


def _handles(rows: list[Row]) -> list[Line2D]:
    shared: dict[str, Any] = {"linestyle": "none", "markersize": 8}
    words = "run: mean ± spread, ticks: seeds, shaded: best on validation"
    handles = [Line2D([], [], color=BLUE, marker="o", label=words, **shared)]
    if any(row.controls for row in rows):
        control, baseline = "control: labels only, as many steps", "baseline: no augmentation, labeled passes alone"
        handles.append(Line2D([], [], color=ORANGE, marker="D", markerfacecolor="white", label=control, **shared))
        handles.append(Line2D([], [], color=GREY, marker="x", label=baseline, **shared))
    return handles
