"""Draw the best runs of a comparison: validation accuracy by step, and pseudo-label accuracy against coverage.

Each setting is represented by its best run. The best settings have colored curves with names, the next ones have faint
curves, and the remaining ones are not drawn. Each curve links to its run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from semisup.analysis.comparison import Comparison
from semisup.analysis.rows import Row
from semisup.analysis.run_history import History, history
from semisup.report.figures.style import BLACK, COLORS, GRAY, format_axes, make_figure, set_share_limits
from semisup.report.wording import row_name

MAX_CURVES = 30
EARLY = 8  # accuracies of the first 1 / EARLY of the steps may lie below the axis


@dataclass(frozen=True)
class TrainingCurve:
    """Training curve of the best run of one setting.

    color: color of the curve; None = a faint gray curve
    href: relative URL of the run
    """

    name: str
    color: str | None
    href: str
    history: History


def training_curves(comparison: Comparison, link: Callable[[Path], str]) -> list[TrainingCurve]:
    """Read the training curves of the best settings of a comparison: one run for each of at most MAX_CURVES settings.

    Args:
        link: function that returns the relative URL of a run directory.
    """
    curves = []
    for number, row in enumerate(_first_rows(comparison)):
        color = COLORS[number] if number < len(COLORS) else None
        folder = row.best_run.folder
        curves.append(TrainingCurve(row_name(row, 48), color, link(folder), history(folder)))
    return curves


def control_history(best: Row) -> History | None:
    """Read the training curve of a control, the labels-only run with which the best run of `best` is compared.

    Returns:
        None if the control is not finished.
    """
    for run, pair in zip(best.runs, best.controls, strict=False):
        if run is best.best_run and (control := pair.finished):
            return history(control.folder)
    return None


def accuracy_figure(curves: list[TrainingCurve], control: History | None) -> Figure | None:
    """Draw validation accuracy by step.

    Args:
        curves: the curves to draw, best setting first.
        control: curve of the best setting's control (the labels-only run with which it is compared), drawn as a dashed
            line; None = not drawn.

    Returns:
        None if no accuracy is recorded in `curves`.
    """
    drawn = [curve for curve in curves if curve.history.accuracy]
    if not drawn:
        return None
    figure, axes = _panel("optimizer step", "validation accuracy")
    for curve in reversed(drawn):  # the best on top
        _draw(axes, curve, *zip(*curve.history.accuracy, strict=True))
    handles = _legend_handles(drawn)
    if control and control.accuracy:
        dashed: dict[str, Any] = {"color": BLACK, "linestyle": (0, (4, 2)), "linewidth": 1.2}
        axes.plot(*zip(*control.accuracy, strict=True), **dashed)
        handles.append(Line2D([], [], label="control of the first: labels only", **dashed))
    early = max(step for curve in drawn for step, _ in curve.history.accuracy) / EARLY
    late = [value for curve in drawn for step, value in curve.history.accuracy if step >= early]
    set_share_limits(axes, min(late))
    _add_legend(figure, handles)
    return figure


def coverage_figure(curves: list[TrainingCurve]) -> Figure | None:
    """Draw the accuracy of selected pseudo-labels against coverage: one point per labeling, a ring around the last one.

    Returns:
        None if no true class of an unlabeled image is known.
    """
    rounds = [
        (curve, [point for point in curve.history.rounds if point.pseudo_accuracy is not None]) for curve in curves
    ]
    drawn = [(curve, points) for curve, points in rounds if points]
    if not drawn:
        return None
    figure, axes = _panel(
        "coverage: share of the unlabeled images that is selected",
        "pseudo-accuracy: share of the selected that is correct",
    )
    for curve, points in reversed(drawn):
        x: list[float] = [point.coverage for point in points]
        y: list[Any] = [point.pseudo_accuracy for point in points]
        _draw(axes, curve, x, y, marker="o", markersize=3)
        ring: dict[str, Any] = {"fillstyle": "none", "markersize": 9, "alpha": 1 if curve.color else 0.35}
        axes.plot(x[-1:], y[-1:], "o", color=curve.color or GRAY, **ring)
    axes.set_xlim(-0.02, 1.02)
    set_share_limits(axes, min(point.pseudo_accuracy or 0 for _, points in drawn for point in points))
    _add_legend(figure, _legend_handles([curve for curve, _ in drawn]))
    return figure


def _first_rows(comparison: Comparison) -> list[Row]:
    """Choose at most MAX_CURVES settings to draw: first `comparison.best`, then the others by validation accuracy.

    `comparison.best` uses unlabeled images, so a labels-only setting can have a higher accuracy.
    """
    best = comparison.best
    rest = [row for row in comparison.rows if row is not best]
    return [*([best] if best else []), *rest][:MAX_CURVES]


def _panel(x: str, y: str) -> tuple[Figure, Axes]:
    figure = make_figure(4.6)
    axes = figure.subplots()
    format_axes(axes, x, y)
    return figure, axes


def _draw(axes: Axes, curve: TrainingCurve, x: Any, y: Any, **options: Any) -> None:
    style = _line_style(curve) if curve.color else {"color": GRAY, "linewidth": 0.8, "alpha": 0.35}
    if len(x) == 1:
        style["marker"] = "o"
    axes.plot(x, y, url=curve.href, **{**style, **options})


def _line_style(curve: TrainingCurve) -> dict[str, Any]:
    """Return matplotlib's line properties for a curve: solid in one of the first three colors, else dash-dotted."""
    return {"color": curve.color, "linewidth": 1.6, "linestyle": "-" if curve.color in COLORS[:3] else "-."}


def _legend_handles(curves: list[TrainingCurve]) -> list[Line2D]:
    handles = [Line2D([], [], label=curve.name, **_line_style(curve)) for curve in curves if curve.color]
    faint = sum(curve.color is None for curve in curves)
    return [*handles, Line2D([], [], color=GRAY, alpha=0.5, label=f"the next {faint}")] if faint else handles


def _add_legend(figure: Figure, handles: list[Line2D]) -> None:
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
