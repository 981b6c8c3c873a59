"""Arrange a comparison as a grid of heat-map cells, each with a text and a link to a run.

The axes are threshold and augmentation strength if both differ between the runs, else the two settings with the most
values. If the setting on the vertical axis does not affect the control (the same run without unlabeled images), a row
of cells below the grid shows the control of each column.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semisup.analysis.comparison import Comparison
from semisup.analysis.gains import CONTROL as OVER_CONTROL
from semisup.analysis.rows import Row
from semisup.analysis.run_settings import FlatSettings, canonical, settings_but_length, sort_key
from semisup.analysis.runs import Run
from semisup.analysis.spread import Spread, over_seeds
from semisup.report.format_numbers import format_mean_std, mean_gain, missing_reason
from semisup.text import escape

MAX_VALUES = 24  # maximum number of values along an axis, in a PNG
CONTROL = -1  # the row of controls
IGNORED_BY_CONTROL = ("threshold.", "debias.", "labeler.", "method.", "weak.")
"""Prefixes of settings that usually do not affect the control."""
SEVERAL = "several"


@dataclass(frozen=True)
class Axis:
    """Axis of the grid: one or several settings, and their values.

    keys: the settings
    values: one tuple for each position on the axis, with the value of each setting
    """

    keys: tuple[str, ...]
    values: list[tuple[Any, ...]]

    def place(self, settings: FlatSettings) -> int | None:
        """Return the position on the axis, from 0, that has the values in `settings`; None if there is none."""
        text = canonical([settings.get(key) for key in self.keys])
        return next((index for index, value in enumerate(self.values) if canonical(list(value)) == text), None)

    @property
    def title(self) -> str:
        return ", ".join(escape(key) for key in self.keys)

    @property
    def labels(self) -> list[str]:
        return [" ".join(escape(part) for part in value if part is not None) for value in self.values]


@dataclass(frozen=True)
class HeatmapCell:
    """A cell of a heat map.

    x: 0 for the leftmost column
    y: index of the row, counted upwards from 0; CONTROL for the row of control runs, which is drawn below row 0
    value: mean and spread of the accuracy or gain over the seeds; None = there is no value, and the cell is hatched
    folder: the run to which the cell links: the best of the cell's runs on validation; None if there is no run
    bold: whether the confidence interval of the gain lies above 0
    best: whether the cell shows the best row of the comparison
    """

    x: int
    y: int
    value: Spread | None
    text: str
    folder: Path | None = None
    bold: bool = False
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """Cells of the two heat maps: accuracy (with a row for the controls) and gain.

    split: the split on which the accuracies are measured, test or validation
    """

    vertical: Axis
    horizontal: Axis
    split: str
    accuracies: list[HeatmapCell]
    gains: list[HeatmapCell]

    @property
    def has_controls(self) -> bool:
        return any(cell.y == CONTROL for cell in self.accuracies)


def make_grid(comparison: Comparison, max_values: int = MAX_VALUES) -> Grid | None:
    """Create the grid of heat-map cells of a comparison.

    Returns:
        None if there are no two settings with 2 to `max_values` values each.
    """
    axes = choose_axes(comparison, max_values)
    if axes is None or not comparison.rows:
        return None
    split = "test" if all(row.split == "test" for row in comparison.rows) else "validation"
    rows = _best_rows(comparison, *axes)
    accuracies, gains = _cells(comparison, *axes, rows, split)
    return Grid(*axes, split, accuracies + _controls(comparison, *axes, rows, split), gains)


def choose_axes(comparison: Comparison, max_values: int = MAX_VALUES) -> tuple[Axis, Axis] | None:
    """Choose the settings on the vertical and the horizontal axis of the heat maps.

    Returns:
        Threshold and augmentation if both differ, else the two settings with the most values; None if there are no two
        settings with 2 to `max_values` values each.
    """
    flats = [row.settings for row in comparison.rows]
    flats += [comparison.flat(run) for run in comparison.unfinished if run.uses_unlabeled]
    threshold, augment = (_axis(_keys(comparison, group), flats, max_values) for group in ("threshold.", "augment."))
    if threshold and augment:
        return threshold, augment
    axes = [axis for key in comparison.columns if (axis := _axis([key], flats, max_values))]
    axes = sorted(axes, key=lambda axis: -len(axis.values))[:2]
    if len(axes) < 2:
        return None
    axes.sort(key=lambda axis: axis.keys[0].startswith("augment."))
    return axes[0], axes[1]


def _keys(comparison: Comparison, group: str) -> list[str]:
    return [key for key in comparison.columns if key.startswith(group)]


def _axis(keys: list[str], flats: list[FlatSettings], max_values: int) -> Axis | None:
    values = {}
    for flat in flats:
        value = tuple(flat.get(key) for key in keys)
        if any(part is not None for part in value):
            values[canonical(list(value))] = value
    if not 2 <= len(values) <= max_values:
        return None
    return Axis(tuple(keys), sorted(values.values(), key=lambda value: [sort_key(part) for part in value]))


# Cells --------------------------------------------------------------------------------------------------------------


def _best_rows(comparison: Comparison, vertical: Axis, horizontal: Axis) -> dict[tuple[int, int], Row]:
    """Choose which row of the comparison each cell of the heat map shows.

    If several rows belong to the same cell, because they differ in other settings, the best one on validation is
    chosen.

    Returns:
        (y, x) of the cell -> row.
    """
    rows: dict[tuple[int, int], Row] = {}
    for row in comparison.rows:  # best on validation first
        y, x = vertical.place(row.settings), horizontal.place(row.settings)
        if y is not None and x is not None:
            rows.setdefault((y, x), row)
    return rows


def _unfinished(comparison: Comparison, vertical: Axis, horizontal: Axis) -> dict[tuple[int, int], Run]:
    runs = {}
    for run in comparison.unfinished:
        y, x = vertical.place(comparison.flat(run)), horizontal.place(comparison.flat(run))
        if y is not None and x is not None:
            runs[y, x] = run
    return runs


def _cells(
    comparison: Comparison, vertical: Axis, horizontal: Axis, rows: dict[tuple[int, int], Row], split: str
) -> tuple[list[HeatmapCell], list[HeatmapCell]]:
    """Create the cells of the two heat maps, accuracy and gain."""
    unfinished = _unfinished(comparison, vertical, horizontal)
    seeds = max((len(row.runs) for row in rows.values()), default=1)
    accuracies, gain_cells = [], []
    for y in range(len(vertical.values)):
        for x in range(len(horizontal.values)):
            row = rows.get((y, x))
            if row is None:
                run = unfinished.get((y, x))
                empty = HeatmapCell(x, y, None, run.status if run else "missing", run.folder if run else None)
                accuracies.append(empty)
                gain_cells.append(empty)
                continue
            best, folder = row is comparison.best, row.best_run.folder
            accuracy, gain = row.score(split), mean_gain(row.controls)
            accuracies.append(HeatmapCell(x, y, accuracy, _text(accuracy, seeds, 100), folder, best=best))
            text = _text(gain, seeds, 1, signed=True) if gain else missing_reason(row.controls, "control")
            interval = row.gains[OVER_CONTROL].sweep_interval if OVER_CONTROL in row.gains else None
            bold = interval is not None and interval.low > 0
            gain_cells.append(HeatmapCell(x, y, gain, text, folder, bold=bold, best=best))
    return accuracies, gain_cells


def _controls(
    comparison: Comparison, vertical: Axis, horizontal: Axis, rows: dict[tuple[int, int], Row], split: str
) -> list[HeatmapCell]:
    """Create a cell with the control of each column of the heat map.

    Returns:
        [] if a setting of the vertical axis affects the control, or if there are no controls.
    """
    if not all(key.startswith(IGNORED_BY_CONTROL) for key in vertical.keys):
        return []
    columns: dict[int, list[Row]] = defaultdict(list)
    for (_, x), row in rows.items():
        columns[x].append(row)
    cells = [_control(comparison, x, columns[x], split) for x in range(len(horizontal.values))]
    return cells if any(cell.value or cell.text == SEVERAL for cell in cells) else []


def _control(comparison: Comparison, x: int, rows: list[Row], split: str) -> HeatmapCell:
    """Create the cell with the control of one column of the heat map.

    Its text is SEVERAL if the controls of the rows have different settings.
    """
    runs = {control.id: control for row in rows for pair in row.controls if (control := pair.finished)}
    value = over_seeds(runs.values(), split)
    if value is None:
        return HeatmapCell(x, CONTROL, None, "no control")
    if len({settings_but_length(comparison.flat(run)) for run in runs.values()}) > 1:
        return HeatmapCell(x, CONTROL, None, SEVERAL)
    return HeatmapCell(x, CONTROL, value, _text(value, value.count, 100), next(iter(runs.values())).folder)


def _text(value: Spread | None, seeds: int, unit: float, *, signed: bool = False) -> str:
    if value is None:
        return "none"
    part = f"\n{value.count} of {seeds} seeds" if value.count < seeds else ""
    return format_mean_std(value, signed=signed, unit=unit).replace(" ± ", "\n± ") + part
