"""Draw the chart of the pseudo-labels of one run for each round (labeling of the unlabeled set)."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from semisup.analysis.pseudo_label_history import Round
from semisup.report.figures.style import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PINK,
    format_axes,
    make_figure,
    set_share_limits,
)
from semisup.report.figures.training import MAX_MARKS, Rows, points


def rounds_figure(rounds: list[Round], rows: Rows) -> Figure | None:
    """Draw the number, coverage and accuracy of the selected pseudo-labels of each labeling; None without labelings.

    The bars of the upper panel show how many selected images kept their class, changed their class, or are new. Bars
    below zero show how many images are no longer selected. The lower panel shows coverage, threshold and, if true
    classes are known, pseudo-accuracy.
    """
    if not rounds:
        return None
    figure = make_figure(5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_counts(upper, rounds)
    _draw_shares(lower, rows)
    for axes in (upper, lower):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _draw_counts(axes: Axes, rounds: list[Round]) -> None:
    numbers = [each.number for each in rounds]
    stayed = [each.selected - each.gained - each.flipped for each in rounds]
    flipped, gained = [each.flipped for each in rounds], [each.gained for each in rounds]
    wide: dict[str, Any] = {"width": 0.8 if len(rounds) <= MAX_MARKS else 1.0}
    axes.bar(numbers, stayed, color=BLUE, label="selected before, same class", **wide)
    axes.bar(numbers, flipped, bottom=stayed, color=PINK, label="selected before, other class", **wide)
    base = [one + other for one, other in zip(stayed, flipped, strict=True)]
    axes.bar(numbers, gained, bottom=base, color=GREEN, label="gained", **wide)
    axes.bar(numbers, [-each.lost for each in rounds], color=ORANGE, label="lost", **wide)
    axes.axhline(0, color=GRAY, linewidth=0.8)
    format_axes(axes, "", "pseudo-labels")


def _draw_shares(axes: Axes, rows: Rows) -> None:
    names = {
        "coverage": (BLUE, "coverage"),
        "accuracy": (GREEN, "pseudo-accuracy: share of the selected that is correct"),
    }
    for name, (color, label) in names.items():
        pairs = points(rows, f"pseudo/{name}", "pseudo/round")
        if pairs:
            axes.plot(*zip(*pairs, strict=True), color=color, label=label, marker="o", markersize=3)
    pairs = points(rows, "pseudo/threshold", "pseudo/round")
    if pairs:
        axes.plot(*zip(*pairs, strict=True), color=GRAY, linestyle=":", label="threshold")
    format_axes(axes, "round", "share")
    set_share_limits(axes, 0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
