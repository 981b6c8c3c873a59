"""Write the charts of one run to `plots/`, at the end of its training."""

from pathlib import Path
from typing import TYPE_CHECKING

from semisup.analysis.pseudo_label_history import read_label_history
from semisup.analysis.run_history import SplitCurve
from semisup.core.events import Finished, MetricsRow
from semisup.core.threshold_curve import THRESHOLDS
from semisup.dataset import Data
from semisup.record.curves import EvalThresholdCurve
from semisup.record.pseudo_labels import PseudoLabelRow
from semisup.report.figures.calibration import calibration_figure
from semisup.report.figures.confusion import confusion_figure
from semisup.report.figures.label_sheet import label_sheet_figure, thumbnail_table
from semisup.report.figures.rounds import rounds_figure
from semisup.report.figures.style import figure_style, render_png
from semisup.report.figures.threshold_curve import threshold_figure
from semisup.report.figures.training import training_figure
from semisup.runtime.atomic_files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

most_and_least_confident = thumbnail_table


def draw_run(
    folder: Path,
    rows: list[MetricsRow],
    finished: Finished,
    last: list[PseudoLabelRow],
    curves: list[EvalThresholdCurve],
    data: Data,
    gate: float | None,
) -> dict[str, Path]:
    """Draw and save the charts of a finished run; a chart without data is left out.

    Args:
        folder: the run directory; the charts are written to `plots/` in it.
        rows: rows of metrics.jsonl.
        finished: the result of the training.
        last: pseudo-labels of the last labeling.
        curves: coverage and accuracy by confidence threshold, recorded at evaluations and labelings.
        data: the data set of the run.
        gate: validation accuracy above which the run labels the unlabeled set; None for methods without this condition.

    Returns:
        Name of each chart -> its file.
    """
    with figure_style():
        figures: dict[str, Figure | None] = {"curves": training_figure(rows, gate, finished.summary["best/step"])}
        for split, counts in finished.confusion.items():
            figures[f"confusion_{split}"] = confusion_figure(counts, data.classes)
        figures["what_if"] = threshold_figure([_split_curve(curve) for curve in curves], rows, finished.summary)
        figures["calibration"] = calibration_figure(finished) if finished.reliability else None
        if last:
            figures["rounds"] = rounds_figure(read_label_history(folder, 0).rounds, rows)
            figures["pseudo_labels"] = label_sheet_figure(last, data)
        return {
            name: save_figure(figure, folder / "plots" / f"{name}.png")
            for name, figure in figures.items()
            if figure is not None
        }


def save_figure(figure: "Figure", path: Path) -> Path:
    write_atomically(path, render_png(figure))
    return path


def _split_curve(curve: EvalThresholdCurve) -> SplitCurve:
    coverage = list(zip(THRESHOLDS, curve.curve.coverage, strict=True))
    accuracy = [(tau, share) for tau, share in zip(THRESHOLDS, curve.curve.accuracy, strict=True) if share is not None]
    return SplitCurve(curve.step, curve.on, coverage, accuracy)
