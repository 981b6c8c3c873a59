"""Draw the chart of a confusion matrix."""

import numpy
from matplotlib.figure import Figure

from semisup.report.figures.style import class_labels

MAX_CLASSES_WITH_COUNTS = 20


def confusion_figure(counts: list[list[int]], classes: tuple[str, ...]) -> Figure:
    """Draw a confusion matrix: rows are true classes, columns are predicted classes.

    The color of a cell is its share of the images in the row.
    """
    matrix = numpy.array(counts)
    side = min(3 + 0.35 * len(classes), 14)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / numpy.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names, note = class_labels(classes, 16)
    axes.set(xlabel="predicted" + (f"\n{note}" if note else ""), ylabel="true")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    if len(classes) <= MAX_CLASSES_WITH_COUNTS:
        for (row, column), count in numpy.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            text = axes.text(column, row, count, ha="center", va="center", fontsize=7, color=color)
            text.set_in_layout(False)  # it is inside the axes, and the layout measures every text
    return figure
