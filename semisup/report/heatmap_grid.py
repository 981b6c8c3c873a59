"""Threshold x strength as a grid of cells, for whoever draws it: what stands in each, and which run it leads to.

Where other settings differ more, the two that take most values are the axes. Controls stand in a row of their own
below the grid, where they are the controls of the cells above them; where these have several, it says so.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semisup.analysis.comparison import Comparison, FlatSettings, Row, Spread, canonical, over_seeds, sort_key
from semisup.analysis.runs import Run
from semisup.errors import escape
from semisup.report.wording import format_mean_std, mean_gain, missing_reason

MOST_VALUES = 24  # of an axis, in a picture
CONTROL = -1  # the row of controls
NOT_OF_A_CONTROL = ("threshold.", "labeler.", "method.", "weak.")
"""Settings that a control does not have: runs that differ in these alone have the same."""


@dataclass(frozen=True)
class Axis:
    """One or several settings along one side. values: a tuple of their values a line of cells, in order."""

    keys: tuple[str, ...]
    values: list[tuple[Any, ...]]

    def place(self, settings: FlatSettings) -> int | None:
        """Which line of cells these settings belong to; None where they have none of the keys."""
        wanted = canonical([settings.get(key) for key in self.keys])
        return next((index for index, value in enumerate(self.values) if canonical(list(value)) == wanted), None)

    @property
    def title(self) -> str:
        return ", ".join(escape(key) for key in self.keys)

    @property
    def labels(self) -> list[str]:
        return [" ".join(escape(part) for part in value if part is not None) for value in self.values]


@dataclass(frozen=True)
class HeatmapCell:
    """What stands in one place of a panel.

    y: from 0, the lowest, or CONTROL
    value: None is hatched
    folder: of the run that it tells of: of several seeds the one that validation likes best; None where there is none
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
    """accuracies: controls included; gains: of the same cells, without them. split: test or validation."""

    vertical: Axis
    horizontal: Axis
    split: str
    accuracies: list[HeatmapCell]
    gains: list[HeatmapCell]

    @property
    def has_controls(self) -> bool:
        return any(cell.y == CONTROL for cell in self.accuracies)


def make_grid(comparison: Comparison, most: int = MOST_VALUES) -> Grid | None:
    """The cells; None where there are no two settings to span a grid, or more than `most` values along one of them."""
    axes = choose_axes(comparison, most)
    if axes is None or not comparison.rows:
        return None
    split = "test" if all(row.split == "test" for row in comparison.rows) else "validation"
    rows = _best_in_each(comparison, *axes)
    accuracies, gains = _cells(comparison, *axes, rows, split)
    return Grid(*axes, split, accuracies + _controls(*axes, rows, split), gains)


def choose_axes(comparison: Comparison, most: int = MOST_VALUES) -> tuple[Axis, Axis] | None:
    """Vertical and horizontal: threshold and augmentation, else the two settings that take most values."""
    flats = [row.settings for row in comparison.rows]
    flats += [comparison.flat(run) for run in comparison.unfinished if run.uses_unlabeled]
    threshold, augment = (_axis(_keys(comparison, group), flats, most) for group in ("threshold.", "augment."))
    if threshold and augment:
        return threshold, augment
    each = [axis for key in comparison.columns if (axis := _axis([key], flats, most))]
    each = sorted(each, key=lambda axis: -len(axis.values))[:2]
    if len(each) < 2:
        return None
    each.sort(key=lambda axis: axis.keys[0].startswith("augment."))
    return each[0], each[1]


def _keys(comparison: Comparison, group: str) -> list[str]:
    return [key for key in comparison.columns if key.startswith(group)]


def _axis(keys: list[str], flats: list[FlatSettings], most: int) -> Axis | None:
    values = {}
    for flat in flats:
        value = tuple(flat.get(key) for key in keys)
        if any(part is not None for part in value):
            values[canonical(list(value))] = value
    if not 2 <= len(values) <= most:
        return None
    return Axis(tuple(keys), sorted(values.values(), key=lambda value: [sort_key(part) for part in value]))


# Cells --------------------------------------------------------------------------------------------------------------


def _best_in_each(comparison: Comparison, vertical: Axis, horizontal: Axis) -> dict[tuple[int, int], Row]:
    """Where several rows share a place, for other settings differ too, validation chooses."""
    found: dict[tuple[int, int], Row] = {}
    for row in comparison.rows:  # best on validation first
        y, x = vertical.place(row.settings), horizontal.place(row.settings)
        if y is not None and x is not None:
            found.setdefault((y, x), row)
    return found


def _unfinished(comparison: Comparison, vertical: Axis, horizontal: Axis) -> dict[tuple[int, int], Run]:
    found = {}
    for run in comparison.unfinished:
        y, x = vertical.place(comparison.flat(run)), horizontal.place(comparison.flat(run))
        if y is not None and x is not None:
            found[y, x] = run
    return found


def _cells(
    comparison: Comparison, vertical: Axis, horizontal: Axis, rows: dict[tuple[int, int], Row], split: str
) -> tuple[list[HeatmapCell], list[HeatmapCell]]:
    """The cells of the accuracy panel and of the gain panel."""
    stopped = _unfinished(comparison, vertical, horizontal)
    most = max((len(row.runs) for row in rows.values()), default=1)
    accuracies, gains = [], []
    for y in range(len(vertical.values)):
        for x in range(len(horizontal.values)):
            row = rows.get((y, x))
            if row is None:
                run = stopped.get((y, x))
                empty = HeatmapCell(x, y, None, run.status if run else "missing", run.folder if run else None)
                accuracies.append(empty)
                gains.append(empty)
                continue
            best, accuracy, over, folder = (
                row is comparison.best,
                row.accuracy(split),
                mean_gain(row.controls),
                row.best_run.folder,
            )
            accuracies.append(HeatmapCell(x, y, accuracy, _text(accuracy, most, 100), folder, best=best))
            text = _text(over, most, 1, signed=True) if over else missing_reason(row.controls, "control")
            gains.append(HeatmapCell(x, y, over, text, folder, bold=bool(over and over.clear), best=best))
    return accuracies, gains


def _controls(vertical: Axis, horizontal: Axis, rows: dict[tuple[int, int], Row], split: str) -> list[HeatmapCell]:
    """The control of each column of cells, where what the vertical axis says cannot matter to a control."""
    if not all(key.startswith(NOT_OF_A_CONTROL) for key in vertical.keys):
        return []
    above: dict[int, list[Row]] = defaultdict(list)
    for (_, x), row in rows.items():
        above[x].append(row)
    cells = [_control(x, above[x], split) for x in range(len(horizontal.values))]
    return cells if any(cell.value or cell.text == SEVERAL for cell in cells) else []


SEVERAL = "several"


def _control(x: int, rows: list[Row], split: str) -> HeatmapCell:
    """The control of all these rows, which share a column; SEVERAL where they do not share a control."""
    runs = {pair.other.id: pair.other for row in rows for pair in row.controls if pair.state == "done" and pair.other}
    value = over_seeds(runs.values(), split)
    if value is None:
        return HeatmapCell(x, CONTROL, None, "no control")
    if len({_settings_of_control(row) for row in rows if row.controls}) > 1:
        return HeatmapCell(x, CONTROL, None, SEVERAL)
    return HeatmapCell(x, CONTROL, value, _text(value, value.count, 100), next(iter(runs.values())).folder)


def _settings_of_control(row: Row) -> str:
    return canonical({key: value for key, value in row.settings.items() if not key.startswith(NOT_OF_A_CONTROL)})


def _text(value: Spread | None, most: int, unit: float, *, signed: bool = False) -> str:
    if value is None:
        return "none"
    some = f"\n{value.count} of {most} seeds" if value.count < most else ""
    return format_mean_std(value, signed=signed, unit=unit).replace(" ± ", "\n± ") + some
