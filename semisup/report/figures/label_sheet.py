"""Draw thumbnails of the unlabeled images with the most and least confident pseudo-labels of the last labeling."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semisup.dataset import Data
from semisup.record.pseudo_labels import PseudoLabelRow
from semisup.report.figures.style import class_labels

SHOWN = 24  # number of pseudo-labels in each half
ROW_HEIGHT = 1.15  # a column is 1 wide


def label_sheet_figure(last: list[PseudoLabelRow], data: Data) -> Figure:
    """Draw the unlabeled images with the most and least confident pseudo-labels of the last labeling.

    The title of an image is its class and confidence, in red if the class is known to be incorrect.
    """
    figure = Figure(figsize=(12, 5.8))
    any_selected = any(label.weight > 0 for label in last)
    suffix = "of the selected" if any_selected else "(none is selected)"
    names, note = class_labels(data.classes, 12)
    suffix += f"   |   {' '.join(note.split())}" if note else ""
    shown = dict(zip(data.classes, names, strict=True))
    halves = figure.subplots(2, 1, gridspec_kw={"left": 0.01, "right": 0.99, "bottom": 0.01, "top": 0.94})
    for axes, labels, end in zip(halves, both_ends(last, SHOWN), ("most", "least"), strict=True):
        axes.set_title(f"{end} confident {suffix}", fontsize=11, pad=16)
        axes.axis("off")
        for place, label in enumerate(labels):  # in the same axes: 2 s faster than axes for each image
            _draw_thumbnail(axes, label, data, shown[label.target], *divmod(place, SHOWN // 2))
        axes.set(xlim=(0, SHOWN // 2), ylim=(2 * ROW_HEIGHT, 0), aspect="equal")
    return figure


def both_ends(last: list[PseudoLabelRow], count: int) -> tuple[list[PseudoLabelRow], list[PseudoLabelRow]]:
    """Choose the `count` most and the `count` least confident pseudo-labels among the selected ones.

    If no pseudo-label is selected, they are chosen among all pseudo-labels.
    """
    selected = [label for label in last if label.weight > 0] or last
    order = sorted(selected, key=lambda label: -label.confidence)
    return order[:count], order[count:][-count:][::-1]


def thumbnail_table(last: list[PseudoLabelRow], data: Data, count: int) -> tuple[list[str], list[list[object]], Any]:
    """Create a table of the `count` most and least confident pseudo-labels of the last labeling.

    Returns:
        Names of the columns, rows, and (n, C, S, S) uint8 images.
    """
    shown = [label for end in both_ends(last, count) for label in end]
    rows: list[list[object]] = [
        [data.unlabeled.paths[label.number], label.target, label.confidence, label.weight > 0] for label in shown
    ]
    images = data.unlabeled.pixels[[label.number for label in shown]].numpy()
    return ["path", "class", "confidence", "kept"], rows, images


def _draw_thumbnail(axes: Axes, label: PseudoLabelRow, data: Data, name: str, row: int, column: int) -> None:
    image = data.unlabeled.pixels[label.number].permute(1, 2, 0).numpy()
    top = row * ROW_HEIGHT
    extent = (column + 0.04, column + 0.96, top + 0.92, top)
    axes.imshow(image.squeeze(), cmap="gray" if image.shape[2] == 1 else None, extent=extent)
    truth = int(data.hidden_targets[label.number])
    incorrect = truth >= 0 and (*data.classes, None)[truth] != label.target
    title = f"{name} {label.confidence:.2f}"
    color = "#c00000" if incorrect else "black"
    axes.text(column + 0.5, top - 0.03, title, fontsize=7, color=color, ha="center", va="bottom")
