"""Draw the chart of a comparison: two heat maps, accuracy and gain over the control (a run without unlabeled images).

If the settings do not form a grid, a chart with one row for each setting is drawn instead. The color maps are readable
without color vision (cividis; brown to violet, white at 0), and every cell shows its value as text.
"""

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, TwoSlopeNorm, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from semisup.analysis.comparison import Comparison
from semisup.analysis.rows import split_of
from semisup.analysis.spread import over_seeds
from semisup.report.figures.ranking import WIDTH_INCHES, ranking_figure
from semisup.report.figures.style import figure_style, render_png
from semisup.report.format_numbers import format_mean_std
from semisup.report.heatmap_grid import CONTROL, SEVERAL, Grid, HeatmapCell, make_grid
from semisup.report.wording import measure_name, title

MAX_COLUMNS = 7  # maximum number of cells side by side; with more, one panel is above the other
GAP = 0.35  # distance between the cells and the row of controls, in cells
HATCHED: dict[str, Any] = {"facecolor": "#f2f2f2", "edgecolor": "#b0b0b0", "hatch": "///"}
Color = tuple[float, float, float, float]

__all__ = ["Color", "color_of", "draw_heatmap", "draw_heatmaps", "is_dark", "legend", "scales", "to_hex"]


def draw_heatmaps(comparisons: list[Comparison]) -> bytes:
    """Draw the heat maps of all data sets, one below the other, as a PNG that is 1,400 pixels wide."""
    if len(comparisons) == 1:
        return draw_heatmap(comparisons[0])
    parts = [Image.open(io.BytesIO(draw_heatmap(comparison))).convert("RGB") for comparison in comparisons]
    whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    buffer = io.BytesIO()
    whole.save(buffer, format="png")
    return buffer.getvalue()


def draw_heatmap(comparison: Comparison) -> bytes:
    """Draw the heat maps of one data set as a PNG that is 1,400 pixels wide."""
    with figure_style():
        grid = make_grid(comparison)
        return render_png(ranking_figure(comparison) if grid is None else _heatmap_figure(comparison, grid))


def scales(grid: Grid) -> tuple[ScalarMappable, ScalarMappable]:
    """Create the color scales of the two heat maps: accuracy in percent, gain in percentage points."""
    values = [100 * cell.value.mean for cell in grid.accuracies if cell.value]
    accuracy = Normalize(min(values, default=0) - 0.5, max(values, default=100) + 0.5)
    reach = max([1.0, *(abs(cell.value.mean) for cell in grid.gains if cell.value)])
    return ScalarMappable(accuracy, "cividis"), ScalarMappable(TwoSlopeNorm(0, -reach, reach), "PuOr")


def color_of(cell: HeatmapCell, scale: ScalarMappable, unit: float) -> Color | None:
    """Return the fill color of a heat-map cell; None = the cell has no value and is hatched.

    Args:
        unit: factor that converts the value of the cell to the unit of the scale; 100 for accuracies, 1 for gains.
    """
    if cell.value is None:
        return None
    assert isinstance(scale.norm, Normalize)
    red, green, blue, alpha = scale.cmap(scale.norm(cell.value.mean * unit))
    return red, green, blue, alpha


def is_dark(color: Color) -> bool:
    """Whether white text is more legible on the color than black text."""
    red, green, blue, _ = color
    return 0.299 * red + 0.587 * green + 0.114 * blue < 0.5


def legend(comparison: Comparison, grid: Grid) -> list[str]:
    """Write the two-line legend of the heat maps: how to read the cells, and what control and baseline are."""
    notes = ["Framed: best on validation", f"± spread over {comparison.repeated_by}", "bold: 95 % interval above 0"]
    notes.append("hatched: no number, with the reason")
    if set(comparison.columns) - {*grid.vertical.keys, *grid.horizontal.keys}:
        notes.append("other settings differ too: each cell shows the best row on validation")
    below = "Control: labels only, the same augmentation, model and number of steps"
    if any(cell.text == SEVERAL for cell in grid.accuracies):
        below += f" ({SEVERAL}: the cells above have different ones; each gain is over its own)"
    runs = [run for reference in comparison.references if reference.kind == "baseline" for run in reference.runs]
    if baseline := over_seeds(runs, split_of(runs)):
        value = format_mean_std(baseline, unit=100)
        below += f"   |   plain baseline (no augmentation, labeled passes only): {split_of(runs)} {value} %"
    return ["   |   ".join(notes), below]


def _heatmap_figure(comparison: Comparison, grid: Grid) -> Figure:
    figure = Figure(layout="constrained")
    beside = len(grid.horizontal.values) <= MAX_COLUMNS
    panel_inches = 1.3 + 0.62 * (len(grid.vertical.values) + 1 + GAP)
    figure.set_size_inches(WIDTH_INCHES, 1.4 + panel_inches * (1 if beside else 2))
    left, right = figure.subplots(1, 2, sharey=True) if beside else figure.subplots(2, 1)
    accuracy, gain = scales(grid)
    _draw_cells(left, grid.accuracies, accuracy, 100)
    _draw_cells(right, grid.gains, gain, 1)
    left.set_title(f"{grid.split.capitalize()} {measure_name(comparison.rows[0])}, %", loc="left", fontsize=13)
    right.set_title(f"Gain over the {comparison.control_name}, percentage points", loc="left", fontsize=13)
    _finish_panel(left, grid, grid.has_controls)
    _finish_panel(right, grid, grid.has_controls and beside)  # side by side they share the vertical axis
    if beside:
        right.tick_params(labelleft=False)
        right.set_ylabel("")
    left_edge: dict[str, Any] = {"x": 0.01, "ha": "left"}
    figure.suptitle(title(comparison), fontsize=15, **left_edge)
    figure.supxlabel("\n".join(legend(comparison, grid)), fontsize=10, color="#444444", **left_edge)
    return figure


def _height(cell: HeatmapCell) -> float:
    return CONTROL - GAP if cell.y == CONTROL else cell.y


def _draw_cells(panel: Axes, cells: list[HeatmapCell], scale: ScalarMappable, unit: float) -> None:
    for cell in cells:
        _draw_cell(panel, cell, color_of(cell, scale, unit))
    for cell in cells:
        if cell.best:
            _outline(panel, cell, inset=0.009 * (1 + max(other.x for other in cells)))
    if panel.figure is not None:
        bar = panel.figure.colorbar(scale, ax=panel, fraction=0.04, pad=0.02, aspect=30)
        bar.outline.set_visible(False)


def _draw_cell(panel: Axes, cell: HeatmapCell, color: Color | None) -> None:
    corner, where = (cell.x - 0.5, _height(cell) - 0.5), (cell.x, _height(cell))
    if color is None:
        panel.add_patch(Rectangle(corner, 1, 1, linewidth=0, **HATCHED))
        panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="white", linewidth=1.5))
        box = {"facecolor": "#f2f2f2", "edgecolor": "none", "pad": 2}
        panel.text(*where, cell.text, ha="center", va="center", fontsize=10, color="#333333", bbox=box)
        return
    panel.add_patch(Rectangle(corner, 1, 1, facecolor=color, edgecolor="white", linewidth=1.5))
    style: dict[str, Any] = {"fontweight": "bold" if cell.bold else "normal"}
    style["color"] = "white" if is_dark(color) else "black"
    panel.text(*where, cell.text, ha="center", va="center", fontsize=11, linespacing=1.25, **style)


def _outline(panel: Axes, cell: HeatmapCell, inset: float) -> None:
    corner, width = (cell.x - 0.5 + inset, cell.y - 0.44), 1 - 2 * inset
    frame = Rectangle(corner, width, 0.88, fill=False, edgecolor="black", linewidth=2.5, zorder=3)
    frame.set_path_effects([withStroke(linewidth=5.5, foreground="white")])
    panel.add_patch(frame)


def _finish_panel(panel: Axes, grid: Grid, has_controls: bool) -> None:
    vertical, horizontal = grid.vertical, grid.horizontal
    panel.set_xlim(-0.5, len(horizontal.values) - 0.5)
    panel.set_ylim(-1.5 - GAP if has_controls else -0.5, len(vertical.values) - 0.5)
    controls = ([-1 - GAP], ["control"]) if has_controls else ([], [])
    panel.set_xticks(range(len(horizontal.values)), horizontal.labels)
    panel.set_yticks([*controls[0], *range(len(vertical.values))], [*controls[1], *vertical.labels])
    panel.set_xlabel(horizontal.title, fontsize=12)
    panel.set_ylabel(vertical.title, fontsize=12)
    panel.tick_params(length=0, labelsize=11)
    panel.spines[:].set_visible(False)
