"""The pictures of one run: curves, pseudo-labels by round, confusion, the surest and least sure pseudo-labels, and
those of `_diagnostic_plots`."""

import io
from pathlib import Path
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from semisup.core.events import Finished, MetricsRow
from semisup.dataset import Data
from semisup.errors import escape
from semisup.record.curves import EvalThresholdCurve
from semisup.record.pseudo_labels import PseudoLabelRow
from semisup.report.threshold_plots import calibration_figure, threshold_figure
from semisup.runtime.atomic_files import write_atomically

BLUE, ORANGE, GREEN, GRAY = "#0072b2", "#d55e00", "#009e73", "#777777"  # Okabe and Ito: told apart by everyone
SHOWN = 24  # pseudo-labels on each half of the sheet


def draw_run(
    folder: Path,
    rows: list[MetricsRow],
    finished: Finished,
    last: list[PseudoLabelRow],
    curves: list[EvalThresholdCurve],
    data: Data,
    gate: float | None,
) -> dict[str, Path]:
    """Draw what there is to draw into `plots/`; name -> file."""
    figures = {"curves": _curves(rows, gate)}
    figures |= {f"confusion_{split}": _confusion(counts, data.classes) for split, counts in finished.confusion.items()}
    figures |= {
        "what_if": threshold_figure(curves, rows, finished.summary),
        "calibration": calibration_figure(finished),
    }
    if last:
        figures |= {"rounds": _rounds(rows), "pseudo_labels": _sheet(last, data)}
    return {name: _saved(figure, folder / "plots" / f"{name}.png") for name, figure in figures.items()}


def _saved(figure: Figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    write_atomically(path, buffer.getbuffer())
    return path


def _line(axes: Axes, rows: list[MetricsRow], axis: str, name: str, label: str, color: str) -> None:
    points = [(row[axis], row[name]) for row in rows if row.get(name) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), color=color, label=label, marker="o" if len(points) == 1 else None)


def _curves(rows: list[MetricsRow], gate: float | None) -> Figure:
    """Loss and accuracy over epochs (over steps, where an epoch has several evaluations); a dotted line wherever the
    pool was labeled again, and the gate."""
    epochs = [row["epoch"] for row in rows if "val/loss" in row]
    axis = "epoch" if len(set(epochs)) == len(epochs) else "step"
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    _line(loss, rows, axis, "train/loss", "train, labeled", BLUE)
    _line(loss, rows, axis, "train/unlabeled_loss", "train, pseudo-labeled", GREEN)
    _line(loss, rows, axis, "val/loss", "validation", ORANGE)
    _line(accuracy, rows, axis, "train/accuracy", "train, labeled", BLUE)
    _line(accuracy, rows, axis, "val/accuracy", "validation", ORANGE)
    if gate is not None:
        accuracy.axhline(gate, color=GRAY, linewidth=1, label=f"gate, {gate:g}")
    rounds = [row[axis] for row in rows if "pseudo/round" in row]
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for number, epoch in enumerate(rounds):
            label = "pool labeled" if number == 0 else None
            axes.axvline(epoch or 0, color=GRAY, linestyle=":", linewidth=1, label=label)
        axes.set(xlabel=axis, ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    accuracy.set_ylim(-0.02, 1.02)
    return figure


def _rounds(rows: list[MetricsRow]) -> Figure:
    """Coverage and, where the truth is known, accuracy of the pseudo-labels, round by round."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, label, color in (
        ("pseudo/coverage", "coverage: share of the pool that is used", BLUE),
        ("pseudo/accuracy", "pseudo-accuracy: share of those that is right", ORANGE),
    ):
        points = [(row["pseudo/round"], row[name]) for row in rows if row.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", color=color, label=label)
    axes.set(xlabel="round", ylabel="share", ylim=(-0.02, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    return figure


def _confusion(counts: list[list[int]], classes: tuple[str, ...]) -> Figure:
    """Rows: true class; columns: predicted; colors by the share of the row."""
    matrix = numpy.array(counts)
    side = min(3 + 0.35 * len(classes), 14)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / numpy.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [escape(name)[:16] for name in classes]
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    if len(classes) <= 20:
        for (row, column), count in numpy.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", fontsize=7, color=color)
    return figure


def _order(last: list[PseudoLabelRow], count: int) -> tuple[list[int], list[int]]:
    """Indices of the `count` surest and least sure of the kept pseudo-labels; of all of them where none is kept."""
    kept = [number for number, each in enumerate(last) if each.weight > 0] or list(range(len(last)))
    order = sorted(kept, key=lambda number: -last[number].confidence)
    return order[:count], order[count:][-count:][::-1]


def _sheet(last: list[PseudoLabelRow], data: Data) -> Figure:
    """Thumbnails of both ends of the last round, each with its class and confidence; red = known to be wrong."""
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    any_kept = any(each.weight > 0 for each in last)
    titles = (
        ("most confident", "least confident of the kept") if any_kept else ("none is kept: most confident", "least")
    )
    halves: Any = figure.subfigures(2, 1)
    for half, index, title in zip(halves, _order(last, SHOWN), titles, strict=True):
        half.suptitle(title, fontsize=11)
        for axes, number in zip(half.subplots(2, SHOWN // 2).flat, [*index, *[-1] * SHOWN], strict=False):
            axes.axis("off")
            if number >= 0:
                _thumbnail(axes, number, last, data)
    return figure


def _thumbnail(axes: Axes, number: int, last: list[PseudoLabelRow], data: Data) -> None:
    image = data.unlabeled.pixels[last[number].number].permute(1, 2, 0).numpy()
    axes.imshow(image.squeeze(), cmap="gray" if image.shape[2] == 1 else None)
    label, truth = last[number], int(data.hidden_targets[last[number].number])
    wrong = truth >= 0 and data.classes[truth] != label.target
    axes.set_title(
        f"{escape(label.target)[:12]} {label.confidence:.2f}", fontsize=7, color="#c00000" if wrong else "black"
    )


def most_and_least_confident(
    last: list[PseudoLabelRow], data: Data, count: int
) -> tuple[list[str], list[list[object]], Any]:
    """Columns, rows and (n, C, S, S) uint8 pictures of a table of `count` from both ends of the last round."""
    shown = [last[number] for part in _order(last, count) for number in part]
    columns = ["path", "class", "confidence", "kept"]
    rows: list[list[object]] = [
        [data.unlabeled.paths[each.number], each.target, each.confidence, each.weight > 0] for each in shown
    ]
    return columns, rows, data.unlabeled.pixels[[each.number for each in shown]].numpy()
