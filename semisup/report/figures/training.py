"""Draw the chart of one training: accuracy and loss by optimizer step."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semisup.analysis.run_history import position
from semisup.analysis.runs import as_number
from semisup.report.figures.style import BLUE, GRAY, GREEN, GRID, ORANGE, format_axes, make_figure

Rows = list[dict[str, Any]]

MAX_MARKS = 40  # labelings that are marked one by one


def training_figure(rows: Rows, start_accuracy: float | None, best_step: float | None) -> Figure | None:
    """Draw accuracy and loss of a run by step.

    Vertical lines mark the labelings of the unlabeled set, and a ring marks the best model.

    Args:
        rows: rows of metrics.jsonl.
        start_accuracy: validation accuracy above which the run labels the unlabeled set (`method.gate`); None if the
            method has no such limit.
        best_step: step of the run's best model.

    Returns:
        None if no validation accuracy is recorded.
    """
    if not points(rows, "val/accuracy"):
        return None
    figure = make_figure(3.6)
    left, right = figure.subplots(1, 2)
    labelings = [step for step, _ in points(rows, "pseudo/coverage")]
    for axes, kind in ((left, "accuracy"), (right, "loss")):
        for step in labelings if len(labelings) <= MAX_MARKS else []:
            axes.axvline(step, color=GRID, linewidth=0.8, zorder=0)
        _draw(axes, rows, f"train/{kind}", "training, labeled", GRAY, linestyle="--")
        _draw(axes, rows, f"val/{kind}", "validation", BLUE)
        format_axes(axes, "optimizer step", kind)
    _draw(right, rows, "train/unlabeled_loss", "training, pseudo-labeled", GREEN, linestyle="-.")
    best = [point for point in points(rows, "val/accuracy") if point[0] == best_step]
    if best:
        left.plot(*zip(*best, strict=True), "o", color=BLUE, fillstyle="none", markersize=9)
    if start_accuracy is not None and 0 < start_accuracy < 1:
        label = f"method.gate={start_accuracy:.3g}"
        left.axhline(start_accuracy, color=ORANGE, linestyle=":", linewidth=1.2, label=label)
    for axes in (left, right):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9, frameon=False)
    return figure


def points(rows: Rows, name: str, axis: str = "step") -> list[tuple[float, float]]:
    """Collect (value of `axis`, value of the metric `name`) from logged rows, without missing or implausible values."""
    pairs = [(position(row.get(axis)), as_number(row.get(name))) for row in rows]
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _draw(axes: Axes, rows: Rows, name: str, label: str, color: str, **options: Any) -> None:
    pairs = points(rows, name)
    if pairs:
        marker = "o" if len(pairs) == 1 else ""
        axes.plot(*zip(*pairs, strict=True), color=color, label=label, marker=marker, linewidth=1.6, **options)
