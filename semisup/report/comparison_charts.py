"""The charts of a report: accuracy while training, coverage against pseudo-accuracy, and what other thresholds keep.

Each is drawn for the runs that validation likes best: the first few in color and by name, more of them faint, the rest
not at all. Each curve leads to its run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

from semisup.analysis.comparison import Comparison, Row
from semisup.analysis.run_history import History, ThresholdTradeoff, history
from semisup.report.html.svg import BLACK, COLORS, GRAY, GRID
from semisup.report.ranking_chart import ranking_figure, row_name

MAX_CURVES = 30
FIRST = 8  # 1 / the share of the steps whose accuracy may lie below the axis, which begins where the later ones lie
SIZE_INCHES = (9, 4.6)
TAUS = (0.1, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)


@dataclass(frozen=True)
class TrainingCurve:
    """One row's best run. color: None is faint; href: where its run is, from where the page is."""

    name: str
    color: str | None
    href: str
    history: History


def training_curves(comparison: Comparison, link: Callable[[Path], str]) -> list[TrainingCurve]:
    """The best run of each of the first MOST_CURVES rows."""
    found = []
    for number, row in enumerate(_first(comparison)):
        color = COLORS[number] if number < len(COLORS) else None
        folder = row.best_run.folder
        found.append(TrainingCurve(row_name(row, 48), color, link(folder), history(folder)))
    return found


def _first(comparison: Comparison) -> list[Row]:
    """The best row first, which is not the first one where labels alone did better."""
    best = comparison.best
    rest = [row for row in comparison.rows if row is not best]
    return [*([best] if best else []), *rest][:MAX_CURVES]


def control_history(best: Row) -> History | None:
    """Of the best run's control, where it is done."""
    for run, pair in zip(best.runs, best.controls, strict=False):
        if run is best.best_run and pair.state == "done" and pair.other:
            return history(pair.other.folder)
    return None


def accuracy_chart(curves: list[TrainingCurve], control: History | None) -> Figure | None:
    """Validation accuracy by step; dashed the control of the best row. None where nothing was recorded."""
    drawn = [each for each in curves if each.history.accuracy]
    if not drawn:
        return None
    figure, axes = panel("optimizer step", "validation accuracy")
    for each in reversed(drawn):  # the best on top
        _curve(axes, each, [step for step, _ in each.history.accuracy], [value for _, value in each.history.accuracy])
    handles = _handles(drawn)
    if control and control.accuracy:
        dashed: dict[str, Any] = {"color": BLACK, "linestyle": (0, (4, 2)), "linewidth": 1.2}
        axes.plot(*zip(*control.accuracy, strict=True), **dashed)
        handles.append(Line2D([], [], label="control of the first: labels only", **dashed))
    first = max(step for each in drawn for step, _ in each.history.accuracy) / FIRST
    late = [value for each in drawn for step, value in each.history.accuracy if step >= first]
    from_to_one(axes, min(late))
    _name_curves(figure, handles)
    return figure


def rounds_chart(curves: list[TrainingCurve]) -> Figure | None:
    """How right the pseudo-labels were against how many there were, round by round, a ring around the last. None where
    the true classes are not known."""
    points = [(each, [point for point in each.history.rounds if point.pseudo_accuracy is not None]) for each in curves]
    drawn = [(each, known) for each, known in points if known]
    if not drawn:
        return None
    figure, axes = panel("coverage: share of the pool that is used", "pseudo-accuracy: share of it that is right")
    for each, known in reversed(drawn):
        x: list[float] = [point.coverage for point in known]
        y: list[Any] = [point.pseudo_accuracy for point in known]
        _curve(axes, each, x, y, marker="o", markersize=3)
        ring: dict[str, Any] = {"fillstyle": "none", "markersize": 9, "alpha": 1 if each.color else 0.35}
        axes.plot(x[-1:], y[-1:], "o", color=each.color or GRAY, **ring)
    axes.set_xlim(-0.02, 1.02)
    from_to_one(axes, min(point.pseudo_accuracy or 0 for _, known in drawn for point in known))
    _name_curves(figure, _handles([each for each, _ in drawn]))
    return figure


def threshold_chart(trades: dict[str, ThresholdTradeoff], tau: float | None) -> Figure | None:
    """What each threshold would keep and how right that is; dotted, the run's own. None where nothing is known."""
    if not trades:
        return None
    figure = Figure(figsize=(SIZE_INCHES[0], 3.6), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharex=True)
    for axes, name in zip(panels, ("coverage", "accuracy"), strict=True):
        for color, (on, trade) in zip(COLORS, sorted(trades.items(), reverse=True), strict=False):
            points = [(x, y) for x, y in getattr(trade, name) if 0 < x < 1]
            if points:
                axes.plot(*zip(*points, strict=True), color=color, label=on, linestyle="-" if on == "pool" else "--")
        if tau is not None and 0 < tau < 1:
            axes.axvline(tau, color=GRAY, linestyle=":", label=f"threshold.tau={tau:g}")
        axes.set_xscale("logit")
        axes.xaxis.set_major_locator(FixedLocator(list(TAUS)))
        axes.xaxis.set_major_formatter(FixedFormatter([f"{each:g}" for each in TAUS]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", labelrotation=45)
        blank_style(axes, "threshold", f"{name} of what is kept" if name == "accuracy" else name)
        axes.legend(fontsize=9, frameon=False)
    return figure


def rows_one_by_one(comparison: Comparison) -> Figure:
    """Where there is no grid: accuracy and gain of each row."""
    figure = Figure(layout="constrained")
    ranking_figure(figure, comparison)
    return figure


def from_to_one(axes: Axes, low: float) -> None:
    """An axis of shares that is as long as it has to be."""
    margin = max(0.04 * (1 - low), 0.002)
    axes.set_ylim(max(low - margin, -0.02), 1 + margin)


def panel(x: str, y: str) -> tuple[Figure, Axes]:
    """A figure of one panel, as wide as the page likes it."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    blank_style(axes, x, y)
    return figure, axes


def blank_style(axes: Axes, x: str, y: str) -> None:
    """Names of the axes and a faint grid; no frame."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _curve(axes: Axes, curve: TrainingCurve, x: list[float], y: list[Any], **more: Any) -> None:
    style = _style(curve) if curve.color else {"color": GRAY, "linewidth": 0.8, "alpha": 0.35}
    if len(x) == 1:
        style["marker"] = "o"
    axes.plot(x, y, url=curve.href, **{**style, **more})


def _style(curve: TrainingCurve) -> dict[str, Any]:
    """Told apart by line as well as by color."""
    return {"color": curve.color, "linewidth": 1.6, "linestyle": "-" if curve.color in COLORS[:3] else "-."}


def _handles(curves: list[TrainingCurve]) -> list[Line2D]:
    handles = [Line2D([], [], label=each.name, **_style(each)) for each in curves if each.color]
    faint = sum(each.color is None for each in curves)
    return [*handles, Line2D([], [], color=GRAY, alpha=0.5, label=f"the next {faint}")] if faint else handles


def _name_curves(figure: Figure, handles: list[Line2D]) -> None:
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
