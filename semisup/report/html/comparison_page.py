"""report.html: a comparison as one page that opens without a server and without a network."""

from collections import Counter
from pathlib import Path
from typing import Any

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from semisup.analysis.comparison import Comparison, Row
from semisup.analysis.run_history import read_threshold_curves
from semisup.analysis.runs import Run, as_number
from semisup.report.comparison_charts import (
    accuracy_chart,
    control_history,
    rounds_chart,
    rows_one_by_one,
    threshold_chart,
    training_curves,
)
from semisup.report.heatmap import Color, color_of, is_dark, legend, scales
from semisup.report.heatmap_grid import CONTROL, Grid, HeatmapCell, make_grid
from semisup.report.html.confusion import confusion_rows, confusions
from semisup.report.html.page import render_page
from semisup.report.html.svg import svg, svg_style
from semisup.report.html.tables import Link, run_command_text, runs_table, settings_table
from semisup.runtime.text import printable, run_url

MOST_VALUES = 60  # of an axis of the heat map, which can be scrolled
LOW = "The first eighth of the steps may lie below the axis."


def comparison_page(told: list[tuple[Comparison, str]], beside: Path) -> bytes:
    """The page, for the folder `beside`; the same bytes for the same runs.

    Args:
        told: of each data set, with what it comes to, in one sentence or two.
    """
    to: Link = lambda folder: run_url(folder, beside)  # noqa: E731
    parts = [
        _part(comparison, words, to, f"-{number}" if number else "") for number, (comparison, words) in enumerate(told)
    ]
    return render_page(
        "page.html",
        title=printable(beside.resolve().name),
        counts=_counts([run for comparison, _ in told for run in comparison.runs]),
        sections=[section for part in parts for section in part["sections"]],
        parts=parts,
    )


def _part(comparison: Comparison, words: str, to: Link, suffix: str) -> dict[str, Any]:
    """All that the page says of one data set; `suffix` keeps its names apart from those of others."""
    grid = make_grid(comparison, MOST_VALUES)
    charts = _charts(comparison, grid, to, suffix)
    settings = settings_table(comparison, to, suffix)
    best = _best(comparison.best, to) if comparison.best else None
    named: list[tuple[str, str, object]] = [("data-set", printable(comparison.data_set), comparison.data_set)]
    named += [("heat-map", "Heat map", grid), ("settings-section", "Settings", settings)]
    named += [(chart["id"].removesuffix(suffix), chart["title"], chart) for chart in charts]
    named += [("best", "Best run", best), ("runs-section", "Runs", True)]
    return {
        "suffix": suffix,
        "data_set": printable(comparison.data_set),
        "sentence": printable(words, 2000),
        "sections": [(f"{id_}{suffix}", name) for id_, name, there in named if there],
        "axes": _axes(grid) if grid else None,
        "panels": _panels(grid, to) if grid else [],
        "legend": legend(comparison, grid) if grid else [],
        "settings": settings,
        "charts": charts,
        "best": best,
        "runs": runs_table(comparison, to, suffix),
    }


def _counts(runs: list[Run]) -> str:
    statuses = Counter(run.status for run in runs)
    said = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    return f"{len(runs)} runs, controls and baselines among them: {said}."


# Heat map -----------------------------------------------------------------------------------------------------------


def _axes(grid: Grid) -> dict[str, Any]:
    labels = [_label(value) for value in grid.horizontal.values]
    vertical, horizontal = (", ".join(map(printable, axis.keys)) for axis in (grid.vertical, grid.horizontal))
    return {"vertical": vertical, "horizontal": horizontal, "labels": labels}


def _label(value: tuple[Any, ...]) -> str:
    return " ".join(printable(part, 60) for part in value if part is not None)


def _panels(grid: Grid, to: Link) -> list[dict[str, Any]]:
    size, reach = scales(grid)
    titles = (f"{grid.split.capitalize()} accuracy, %", "Gain over the control, percentage points")
    panels = zip(titles, (grid.accuracies, grid.gains), (size, reach), (100, 1), strict=True)
    return [
        {"title": title, "lines": _lines(grid, [_cell(cell, color_of(cell, scale, unit), to) for cell in cells], cells)}
        for title, cells, scale, unit in panels
    ]


def _lines(grid: Grid, drawn: list[dict[str, Any]], cells: list[HeatmapCell]) -> list[dict[str, Any]]:
    """The lines of cells, the largest value at the top and the controls at the bottom."""
    labels = {y: _label(value) for y, value in enumerate(grid.vertical.values)} | {CONTROL: "control"}
    by_place = {(cell.y, cell.x): each for cell, each in zip(cells, drawn, strict=True)}
    heights = sorted({cell.y for cell in cells}, reverse=True)
    widths = range(len(grid.horizontal.values))
    return [{"label": labels[y], "control": y == CONTROL, "cells": [by_place[y, x] for x in widths]} for y in heights]


def _cell(cell: HeatmapCell, color: Color | None, to: Link) -> dict[str, Any]:
    kinds = {"none": color is None, "dark": color is not None and is_dark(color), "clear": cell.bold, "best": cell.best}
    return {
        "kind": " ".join(kind for kind, holds in kinds.items() if holds),
        "color": None if color is None else to_hex(color),
        "parts": cell.text.split("\n"),
        "href": to(cell.folder) if cell.folder else "",
        "title": printable(cell.folder.name) if cell.folder else "",
    }


# Charts -------------------------------------------------------------------------------------------------------------


def _charts(comparison: Comparison, grid: Grid | None, to: Link, suffix: str) -> list[dict[str, Any]]:
    """Each with its title, its drawing and what to know of it; "" where there is nothing to draw."""
    best = comparison.best
    if best is None:
        return []
    some = f"The best run of each of {len(comparison.rows)} settings"
    with svg_style():
        curves = training_curves(comparison, to)
        if len(curves) < len(comparison.rows):
            some = f"The best runs of the {len(curves)} settings that validation likes best, of {len(comparison.rows)}"
        kept = rounds_chart(curves)
        rows = rows_one_by_one(comparison) if grid is None else None
        found: list[tuple[str, str, Figure | None, str]] = [
            ("rows", "Settings one by one", rows, "Accuracy and gain of each setting"),
            ("curves", "Accuracy while training", accuracy_chart(curves, control_history(best)), f"{some}. {LOW}"),
            ("rounds", "Pseudo-labels: how many, how right", kept, _said_of_rounds(some, kept)),
        ]
        tau = as_number(best.best_run.config["threshold"].get("tau")) if best.best_run.uses_unlabeled else None
        trades = read_threshold_curves(best.best_run.folder)
        said = "What each threshold would keep in the best run: of the pool at its last labeling, and of validation."
        found.append(("what-if", "Other thresholds", threshold_chart(trades, tau), said))
        charts = [_drawn(*each, suffix) for each in found if each[2] is not None or each[0] == "rounds"]
    return charts


def _said_of_rounds(some: str, kept: Figure | None) -> str:
    if kept is None:
        return "No run knows how right its pseudo-labels are: the true classes of the unlabeled images are not known."
    return f"{some}; one point a labeling of the pool, a ring around the last."


def _drawn(id_: str, title: str, figure: Figure | None, said: str, suffix: str) -> dict[str, Any]:
    name = f"{id_}{suffix}"
    return {"id": name, "title": title, "svg": figure and svg(figure, f"{name}-", f"{title}. {said}"), "caption": said}


def _best(row: Row, to: Link) -> dict[str, Any]:
    run = row.best_run
    about = {
        "href": to(run.folder),
        "name": printable(run.id),
        "command": run_command_text(run),
        "mistakes": confusion_rows(run),
    }
    return about | confusions(run)
