"""Draw the threshold curves of one run: how many images each threshold would select, and how many are correct."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from semisup.analysis.run_history import SplitCurve
from semisup.analysis.runs import as_number
from semisup.core.threshold_curve import TARGET_ACCURACIES
from semisup.record.curves import VALIDATION
from semisup.report.figures.style import BLUE, GRAY, ORANGE, format_axes, make_figure

TICKS = (0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
MAX_EARLIER = 6  # labelings that are drawn faintly behind the last one
NEAR_ONE = 0.02  # the threshold axis is stretched up to about this distance from 1


def threshold_figure(
    curves: list[SplitCurve], rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], tau: float | None = None
) -> Figure | None:
    """Draw accuracy and coverage of the pseudo-labels that each threshold would select; None without data.

    - Blue dashed lines: the validation set.
    - Orange lines: the unlabeled set; the accuracy is drawn if true classes are known. Lines of earlier labelings are
      faint.
    - Dotted lines: the run's best model on the validation set, if it is not the model of the last labeling.
    - Vertical line: the threshold of the last labeling, or `tau` if there was no labeling.

    Args:
        curves: accuracy and coverage by threshold, of several labelings and evaluations.
        rows: rows of metrics.jsonl, of which the last one with a threshold is read.
        summary: content of summary.json.
        tau: value of the setting `threshold.tau`; None = draw no line if there was no labeling.
    """
    if not any(curve.coverage for curve in curves):
        return None
    figure = make_figure(4.4)
    accuracy, coverage = figure.subplots(1, 2)
    steps = sorted({curve.step for curve in curves if curve.split != VALIDATION})
    last, earlier, best = steps[-1] if steps else None, _spaced(steps[:-1]), as_number(summary.get("best/step"))
    strong = [curve for curve in curves if curve.step in (last, best)] or curves[-1:]
    for curve in curves:
        if curve.step in earlier:
            _draw(accuracy, coverage, curve, "earlier labelings", alpha=0.2, linewidth=1)
    for curve in strong:
        if curve.step == last:
            _draw(accuracy, coverage, curve, f"last labeling, {curve.split}")
        elif curve.split == VALIDATION:
            _draw(accuracy, coverage, curve, "selected model, validation", linestyle=":" if steps else "-")
    applied: Mapping[str, Any] = next(
        (row for row in reversed(rows) if as_number(row.get("pseudo/threshold")) is not None), {}
    )
    for axes, name in ((accuracy, "accuracy: share of the selected that is correct"), (coverage, "coverage")):
        _draw_threshold(axes, applied, tau)
        format_axes(axes, "threshold", name)
        _scale_thresholds(axes)
    lowest = min((share for curve in strong for _, share in curve.accuracy), default=0.0)
    accuracy.set_ylim(max(0.0, min(0.9, lowest) - 0.1) - 0.02, 1.02)
    coverage.set_ylim(-0.02, 1.02)
    if sentence := _lowest_thresholds(summary):
        figure.suptitle(sentence, fontsize="medium")
    handles = {
        label: handle
        for axes in (accuracy, coverage)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def _spaced(steps: Sequence[int]) -> set[int]:
    """Select at most MAX_EARLIER, evenly spaced, of the steps of earlier labelings; only these labelings are drawn."""
    if len(steps) <= MAX_EARLIER:
        return set(steps)
    return {steps[number * len(steps) // MAX_EARLIER] for number in range(MAX_EARLIER)}


def _draw(accuracy: Axes, coverage: Axes, curve: SplitCurve, label: str, **options: Any) -> None:
    color, line = (BLUE, "--") if curve.split == VALIDATION else (ORANGE, "-")
    for axes, points in ((accuracy, curve.accuracy), (coverage, curve.coverage)):
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **({"color": color, "linestyle": line} | options))


def _draw_threshold(axes: Axes, applied: Mapping[str, Any], tau: float | None) -> None:
    """Mark the threshold of the last labeling in a chart.

    If classes have different thresholds, a band marks their range.

    Args:
        applied: row of metrics.jsonl with the threshold of the last labeling; {} if there was no labeling.
        tau: threshold to mark if `applied` has none; None = mark nothing.
    """
    low, high = (as_number(applied.get(f"pseudo/threshold_{end}")) for end in ("min", "max"))
    if low is not None and high is not None:
        axes.axvspan(min(low, 1), min(high, 1), color=GRAY, alpha=0.15, linewidth=0, label="its range over classes")
    threshold = as_number(applied.get("pseudo/threshold"))
    label = "threshold of the last labeling" if threshold is not None else "threshold.tau"
    threshold = tau if threshold is None else threshold
    if threshold is not None and 0 <= threshold <= 1:
        axes.axvline(threshold, color=GRAY, linewidth=1.2, label=f"{label}, {threshold:.3g}")


def _scale_thresholds(axes: Axes) -> None:
    """Set a horizontal axis from 0 to 1 with more space near 1, where most confidences are."""

    def forward(tau: Any) -> Any:
        return -numpy.log10(1 - numpy.minimum(tau, 1) + NEAR_ONE)

    def inverse(position: Any) -> Any:
        return 1 + NEAR_ONE - 10.0 ** (-numpy.asarray(position))

    axes.set_xscale("function", functions=(forward, inverse))
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_locator(FixedLocator(list(TICKS)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tau, _: f"{tau:g}"))
    axes.tick_params(axis="x", labelsize="small")


def _lowest_thresholds(summary: Mapping[str, Any]) -> str:
    """Describe, for 90, 95 and 99 %, the lowest threshold with this accuracy on the selected validation images.

    Returns:
        One sentence; "" if the thresholds are not recorded.
    """
    names = {goal: f"what_if/tau_for_{goal}" for goal in TARGET_ACCURACIES}
    if not any(name in summary for name in names.values()):
        return ""
    taus = [(goal, as_number(summary.get(name))) for goal, name in names.items()]
    reached = ", ".join(f"{goal} % from {tau:g}" for goal, tau in taus if tau is not None)
    return f"Accuracy of the selected validation images by threshold: {reached or f'never {TARGET_ACCURACIES[0]} %'}"
