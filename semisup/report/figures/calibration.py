"""Draw reliability diagrams (arXiv 1706.04599): accuracy against confidence in 15 bins."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semisup.core.events import Finished
from semisup.core.types import Reliability
from semisup.report.figures.style import BLUE, GRAY, ORANGE, format_axes


def calibration_figure(finished: Finished) -> Figure:
    """Draw reliability diagrams of a run's best model, without and with temperature scaling.

    The temperature is the one with the lowest loss on the validation set. The size of a dot shows the number of images
    in its bin.
    """
    splits = finished.reliability
    figure = Figure(figsize=(5 * len(splits) + 0.5, 4.6), layout="constrained")
    panels = figure.subplots(1, len(splits), squeeze=False)[0]
    temperature = finished.summary["best/temperature"]
    for axes, (split, (uncalibrated, calibrated)) in zip(panels, splits.items(), strict=True):
        name = "test" if split == "test" else "best/val"
        for bins, color, label, key in (
            (uncalibrated, ORANGE, "as the model is", f"{name}/ece"),
            (calibrated, BLUE, f"divided by T = {temperature:.3g}", f"{name}/ece_calibrated"),
        ):
            _draw_bins(axes, bins, color, f"{label}: ECE {finished.summary[key]:.3f}")
        axes.plot((0, 1), (0, 1), color=GRAY, linewidth=1, linestyle="--")
        format_axes(axes, "confidence", "accuracy")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title=split)
        axes.set_aspect("equal")
        axes.legend(fontsize=9, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


def _draw_bins(axes: Axes, bins: Reliability, color: str, label: str) -> None:
    total = max(sum(bins.images), 1)
    filled = [values for values in zip(bins.confidence, bins.accuracy, bins.images, strict=True) if values[2]]
    confidence, accuracy, images = zip(*filled, strict=True) if filled else ((), (), ())
    axes.plot(confidence, accuracy, color=color, linewidth=1, alpha=0.35)
    sizes = [12 + 300 * count / total for count in images]
    axes.scatter(confidence, accuracy, s=sizes, color=color, alpha=0.7, linewidth=0, label=label)
