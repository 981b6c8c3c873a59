"""The charts of one run's report: accuracy and loss while training, and what became of its pseudo-labels round by
round."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from semisup.analysis.pseudo_label_history import Round
from semisup.analysis.runs import as_number
from semisup.report.comparison_charts import SIZE_INCHES, blank_style, from_to_one
from semisup.report.html.svg import COLORS, GRAY, GRID

Rows = list[dict[str, Any]]

BLUE, ORANGE, GREEN, PINK = COLORS[:4]
MOST_LINES = 40  # labelings that are marked one by one


def training_chart(rows: Rows, gate: float | None, best_step: float | None) -> Figure | None:
    """Accuracy and loss by step; faint lines are labelings, a ring is the chosen model. None where nothing
    was recorded."""
    if not _points(rows, "val/accuracy"):
        return None
    figure = Figure(figsize=(SIZE_INCHES[0], 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    labelings = [step for step, _ in _points(rows, "pseudo/coverage")]
    for axes, kind in ((left, "accuracy"), (right, "loss")):
        for step in labelings if len(labelings) <= MOST_LINES else []:
            axes.axvline(step, color=GRID, linewidth=0.8, zorder=0)
        _line(axes, rows, f"train/{kind}", "training", GRAY, linestyle="--")
        _line(axes, rows, f"val/{kind}", "validation", BLUE)
        blank_style(axes, "optimizer step", kind)
    chosen = [point for point in _points(rows, "val/accuracy") if point[0] == best_step]
    left.plot(*zip(*chosen, strict=True), "o", color=BLUE, fillstyle="none", markersize=9) if chosen else None
    if gate is not None and 0 < gate < 1:
        left.axhline(gate, color=ORANGE, linestyle=":", linewidth=1.2, label=f"method.gate={gate:g}")
    for axes in (left, right):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9, frameon=False)
    return figure


def rounds_chart(rounds: list[Round], rows: Rows) -> Figure | None:
    """Above, how many images are kept, and of them how many are new or have another class; below the line, how many
    were lost. Beneath, coverage and, where it is known, how much of the kept is right. None without rounds."""
    if not rounds:
        return None
    figure = Figure(figsize=(SIZE_INCHES[0], 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    at = [each.number for each in rounds]
    stayed = [each.kept - each.gained - each.flipped for each in rounds]
    flipped, gained = [each.flipped for each in rounds], [each.gained for each in rounds]
    wide: dict[str, Any] = {"width": 0.8 if len(rounds) <= MOST_LINES else 1.0}
    upper.bar(at, stayed, color=BLUE, label="kept before, same class", **wide)
    upper.bar(at, flipped, bottom=stayed, color=PINK, label="kept before, other class", **wide)
    above = [one + other for one, other in zip(stayed, flipped, strict=True)]
    upper.bar(at, gained, bottom=above, color=GREEN, label="gained", **wide)
    upper.bar(at, [-each.lost for each in rounds], color=ORANGE, label="lost", **wide)
    upper.axhline(0, color=GRAY, linewidth=0.8)
    blank_style(upper, "", "pseudo-labels")
    upper.legend(fontsize=9, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    shares = [0.0]
    for name, color, label in (("coverage", BLUE, "coverage"), ("accuracy", GREEN, "right, of the kept")):
        points = _points(rows, f"pseudo/{name}", "pseudo/round")
        if points:
            x, y = zip(*points, strict=True)
            lower.plot(x, y, color=color, label=label, marker="o", markersize=3, linestyle="-")
            shares += y
    points = _points(rows, "pseudo/threshold", "pseudo/round")
    if points:
        lower.plot(*zip(*points, strict=True), color=GRAY, linestyle=":", label="threshold")
    blank_style(lower, "labeling of the pool", "share")
    from_to_one(lower, 0)
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(shares) > 1:
        lower.legend(fontsize=9, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _points(rows: Rows, name: str, axis: str = "step") -> list[tuple[float, float]]:
    found = [(as_number(row.get(axis)), as_number(row.get(name))) for row in rows]
    return [(x, y) for x, y in found if x is not None and y is not None]


def _line(axes: Axes, rows: Rows, name: str, label: str, color: str, **more: Any) -> None:
    points = _points(rows, name)
    if points:
        marker = "o" if len(points) == 1 else ""
        axes.plot(*zip(*points, strict=True), color=color, label=label, marker=marker, linewidth=1.6, **more)
