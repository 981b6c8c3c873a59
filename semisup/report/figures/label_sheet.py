"""Draw thumbnails of the images with the most and least confident pseudo-labels of the last round."""

from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semisup.dataset import Data
from semisup.record.pseudo_labels import PseudoLabelRow
from semisup.text import escape

SHOWN = 24  # number of pseudo-labels in each half


def label_sheet_figure(last: list[PseudoLabelRow], data: Data) -> Figure:
    """Draw the images with the most and least confident pseudo-labels of the last round.

    The title of an image is its class and confidence, in red if the class is known to be incorrect.
    """
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    any_selected = any(label.weight > 0 for label in last)
    suffix = "of the selected" if any_selected else "(none is selected)"
    halves: Any = figure.subfigures(2, 1)
    for half, labels, end in zip(halves, both_ends(last, SHOWN), ("most", "least"), strict=True):
        half.suptitle(f"{end} confident {suffix}", fontsize=11)
        remaining: Iterator[PseudoLabelRow] = iter(labels)
        for axes in half.subplots(2, SHOWN // 2).flat:
            axes.axis("off")
            if (label := next(remaining, None)) is not None:
                _draw_thumbnail(axes, label, data)
    return figure


def both_ends(last: list[PseudoLabelRow], count: int) -> tuple[list[PseudoLabelRow], list[PseudoLabelRow]]:
    """Choose the `count` most and the `count` least confident pseudo-labels among the selected ones.

    If no pseudo-label is selected, they are chosen among all pseudo-labels.
    """
    selected = [label for label in last if label.weight > 0] or last
    order = sorted(selected, key=lambda label: -label.confidence)
    return order[:count], order[count:][-count:][::-1]


def thumbnail_table(last: list[PseudoLabelRow], data: Data, count: int) -> tuple[list[str], list[list[object]], Any]:
    """Create a table of the `count` most and least confident pseudo-labels of the last round.

    Returns:
        Names of the columns, rows, and (n, C, S, S) uint8 images.
    """
    shown = [label for end in both_ends(last, count) for label in end]
    rows: list[list[object]] = [
        [data.unlabeled.paths[label.number], label.target, label.confidence, label.weight > 0] for label in shown
    ]
    images = data.unlabeled.pixels[[label.number for label in shown]].numpy()
    return ["path", "class", "confidence", "kept"], rows, images


def _draw_thumbnail(axes: Axes, label: PseudoLabelRow, data: Data) -> None:
    image = data.unlabeled.pixels[label.number].permute(1, 2, 0).numpy()
    axes.imshow(image.squeeze(), cmap="gray" if image.shape[2] == 1 else None)
    truth = int(data.hidden_targets[label.number])
    incorrect = truth >= 0 and data.classes[truth] != label.target
    title = f"{escape(label.target)[:12]} {label.confidence:.2f}"
    axes.set_title(title, fontsize=7, color="#c00000" if incorrect else "black")
