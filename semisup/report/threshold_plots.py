"""Two pictures of a run: what every threshold would have kept, and how far confidence is from accuracy."""

from collections.abc import Sequence
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from semisup.core.events import Finished, MetricsRow
from semisup.core.threshold_curve import TARGET_ACCURACIES, THRESHOLDS
from semisup.core.types import Reliability
from semisup.record.curves import POOL, VALIDATION, EvalThresholdCurve

BLUE, ORANGE, GRAY = "#0072b2", "#d55e00", "#777777"
TICKS = (0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
EARLIER = 6  # rounds that are drawn faintly behind the last one
SOLID, DASHED, DOTTED = "-", "--", ":"
NEAR_ONE = 0.02  # the axis of thresholds stretches up to about this distance from 1


def threshold_figure(curves: list[EvalThresholdCurve], rows: list[MetricsRow], summary: MetricsRow) -> Figure:
    """Accuracy and coverage of what would be kept, against the threshold, which was applied at the vertical line.

    Solid: validation; dashed: the pool, its accuracy where its true classes are known. The last labeling strongly,
    earlier ones faintly; dotted: the chosen model on validation, where it is another one.
    """
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    right, covered = figure.subplots(1, 2)
    steps = sorted({each.step for each in curves if each.on == POOL})
    last, earlier, chosen = steps[-1] if steps else None, _spaced(steps[:-1]), summary["best/step"]
    for each in curves:
        line = SOLID if each.on == VALIDATION else DASHED
        if each.step == last:
            _draw(right, covered, each, line, f"last labeling, {each.on}")
        elif each.step in earlier:
            _draw(right, covered, each, line, "earlier labelings", alpha=0.2, linewidth=1)
        if each.step == chosen != last and each.on == VALIDATION:
            _draw(right, covered, each, DOTTED if last is not None else SOLID, "chosen model, validation")
    applied = next((row for row in reversed(rows) if row.get("pseudo/threshold") is not None), None)
    for axes in (right, covered):
        if applied is not None:
            _draw_threshold(axes, applied)
        _axis_of_thresholds(axes)
        axes.grid(alpha=0.3)
    strong = [each for each in curves if each.step in (last, chosen)]
    lowest = min((share for each in strong for share in each.curve.accuracy if share is not None), default=0.0)
    right.set(ylim=(max(0.0, min(0.9, lowest) - 0.1) - 0.02, 1.02), ylabel="share of the kept that is right")
    covered.set(ylim=(-0.02, 1.02), ylabel="share that is kept (coverage)")
    figure.suptitle(_said(summary), fontsize="medium")
    handles = {label: each for each, label in zip(*covered.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, fontsize="small")
    return figure


def _spaced(steps: Sequence[int]) -> set[int]:
    """At most EARLIER of them, evenly."""
    return {steps[number * len(steps) // EARLIER] for number in range(EARLIER)} if len(steps) > EARLIER else set(steps)


def _draw(right: Axes, covered: Axes, found: EvalThresholdCurve, line: str, label: str, **more: Any) -> None:
    for axes, values, color in ((right, found.curve.accuracy, ORANGE), (covered, found.curve.coverage, BLUE)):
        points = [(tau, value) for tau, value in zip(THRESHOLDS, values, strict=True) if value is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=color, linestyle=line, label=label, **more)


def _draw_threshold(axes: Axes, applied: MetricsRow) -> None:
    """The threshold of the last labeling; a band where it differs from class to class."""
    tau = float(applied["pseudo/threshold"] or 0)
    low, high = applied.get("pseudo/threshold_min"), applied.get("pseudo/threshold_max")
    if low is not None and high is not None:
        axes.axvspan(min(low, 1), min(high, 1), color=GRAY, alpha=0.15, linewidth=0, label="its range over classes")
    if tau <= 1:
        axes.axvline(tau, color=GRAY, linewidth=1.2, label=f"threshold applied, {tau:.3g}")


def _axis_of_thresholds(axes: Axes) -> None:
    """From 0 to 1, the wider the nearer to 1, where confidences crowd."""

    def forward(tau: Any) -> Any:
        return -numpy.log10(1 - numpy.minimum(tau, 1) + NEAR_ONE)

    def inverse(position: Any) -> Any:
        return 1 + NEAR_ONE - 10.0 ** (-numpy.asarray(position))

    axes.set_xscale("function", functions=(forward, inverse))
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_locator(FixedLocator(list(TICKS)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tau, _: f"{tau:g}"))
    axes.set_xlabel("threshold")


def _said(summary: MetricsRow) -> str:
    """The thresholds that would have been right, by the chosen model on validation."""
    found = [(goal, summary.get(f"what_if/tau_for_{goal}")) for goal in TARGET_ACCURACIES]
    said = ", ".join(f"{goal} % from {tau:g}" for goal, tau in found if tau is not None)
    return f"Right on validation, of what the chosen model would keep, by threshold: {said or f'never {TARGET_ACCURACIES[0]} %'}"


def calibration_figure(finished: Finished) -> Figure:
    """Reliability diagrams (arXiv 1706.04599) of the chosen model: accuracy against confidence in 15 bins, as it is and
    with its logits divided by the temperature that fits validation. The larger a dot, the more images it stands for."""
    splits = finished.reliability
    figure = Figure(figsize=(5 * len(splits) + 0.5, 4.6), layout="constrained")
    panels = figure.subplots(1, len(splits), squeeze=False)[0]
    temperature = finished.summary["best/temperature"]
    for axes, (split, (before, after)) in zip(panels, splits.items(), strict=True):
        name = "test" if split == "test" else "best/val"
        for bins, color, said, key in (
            (before, ORANGE, "as the model is", f"{name}/ece"),
            (after, BLUE, f"divided by T = {temperature:.3g}", f"{name}/ece_calibrated"),
        ):
            _draw_bins(axes, bins, color, f"{said}: ECE {finished.summary[key]:.3f}")
        axes.plot((0, 1), (0, 1), color=GRAY, linewidth=1, linestyle="--")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence", ylabel="accuracy", title=split)
        axes.set_aspect("equal")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


def _draw_bins(axes: Axes, bins: Reliability, color: str, label: str) -> None:
    total = max(sum(bins.images), 1)
    filled = [each for each in zip(bins.confidence, bins.accuracy, bins.images, strict=True) if each[2]]
    sure, right, images = zip(*filled, strict=True) if filled else ((), (), ())
    axes.plot(sure, right, color=color, linewidth=1, alpha=0.35)
    sizes = [12 + 300 * count / total for count in images]
    axes.scatter(sure, right, s=sizes, color=color, alpha=0.7, linewidth=0, label=label)
