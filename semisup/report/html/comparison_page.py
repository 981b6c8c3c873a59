"""Render report.html of a comparison: one page that opens without a server or network connection."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.analysis.comparison import Comparison
from semisup.analysis.rows import Row
from semisup.analysis.run_history import read_metric_rows, read_threshold_curves
from semisup.analysis.runs import Run, as_number
from semisup.report.figures.comparison_curves import (
    accuracy_figure,
    control_history,
    coverage_figure,
    training_curves,
)
from semisup.report.figures.heatmap import Color, color_of, is_dark, legend, scales, to_hex
from semisup.report.figures.ranking import ranking_figure
from semisup.report.figures.style import figure_style
from semisup.report.figures.threshold_curve import threshold_figure
from semisup.report.heatmap_grid import CONTROL, Grid, HeatmapCell, make_grid
from semisup.report.html.confusion import confusion_section, error_section
from semisup.report.html.page import chart_section, render_page
from semisup.report.tables import Link, reproduce_command, runs_table, settings_table
from semisup.report.wording import measure_name
from semisup.text import printable, run_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_VALUES = 60  # maximum number of values along an axis of the heat map, which can be scrolled
CLIPPED = "The first eighth of the steps may lie below the axis."


def comparison_page(parts: list[tuple[Comparison, str]], beside: Path) -> bytes:
    """Render the HTML page of a comparison; equal runs give equal bytes.

    Args:
        parts: the comparison of each data set and its summary text.
        beside: the folder into which the page will be written; its links are relative to this folder.
    """
    link: Link = lambda folder: run_url(folder, beside)  # noqa: E731
    rendered = [
        _part(comparison, sentence, link, f"-{number}" if number else "")
        for number, (comparison, sentence) in enumerate(parts)
    ]
    return render_page(
        "page.html",
        title=printable(beside.resolve().name),
        counts=_counts([run for comparison, _ in parts for run in comparison.runs]),
        sections=[*(section for part in rendered for section in part["sections"]), ("glossary", "Glossary")],
        parts=rendered,
    )


def _part(comparison: Comparison, sentence: str, link: Link, suffix: str) -> dict[str, Any]:
    """Return the template variables for one data set; `suffix` is appended to HTML ids to make them unique."""
    grid = make_grid(comparison, MAX_VALUES)
    charts = _charts(comparison, grid, link, suffix)
    settings = settings_table(comparison, link, suffix)
    best = _best_run(comparison.best, link) if comparison.best else None
    sections: list[tuple[str, str, object]] = [
        ("data-set", printable(comparison.label), comparison.label),
        ("heat-map", "Heat map", grid),
        ("settings-section", "Settings", settings),
        *((chart["id"].removesuffix(suffix), chart["title"], chart) for chart in charts),
        ("best", "Best run", best),
        ("runs-section", "Runs", True),
    ]
    return {
        "suffix": suffix,
        "label": printable(comparison.label),
        "sentences": [printable(line, 2000) for line in sentence.split("\n")],
        "sections": [(f"{id_}{suffix}", name) for id_, name, content in sections if content],
        "axes": _axes(grid) if grid else None,
        "panels": _panels(comparison, grid, link) if grid else [],
        "legend": legend(comparison, grid) if grid else [],
        "settings": settings,
        "charts": charts,
        "best": best,
        "runs": runs_table(comparison, link, suffix),
    }


def _counts(runs: list[Run]) -> str:
    statuses = Counter(run.status for run in runs)
    text = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    return f"{len(runs)} runs, including reference runs: {text}."


# Heat map -----------------------------------------------------------------------------------------------------------


def _axes(grid: Grid) -> dict[str, Any]:
    labels = [_label(value) for value in grid.horizontal.values]
    vertical, horizontal = (", ".join(map(printable, axis.keys)) for axis in (grid.vertical, grid.horizontal))
    return {"vertical": vertical, "horizontal": horizontal, "labels": labels}


def _label(value: tuple[Any, ...]) -> str:
    return " ".join(printable(part, 60) for part in value if part is not None)


def _panels(comparison: Comparison, grid: Grid, link: Link) -> list[dict[str, Any]]:
    gain = f"Gain over the {comparison.control_name}, percentage points"
    titles = (f"{grid.split.capitalize()} {measure_name(comparison.rows[0])}, %", gain)
    panels = zip(titles, (grid.accuracies, grid.gains), scales(grid), (100, 1), strict=True)
    return [
        {
            "title": title,
            "lines": _lines(grid, [_cell(cell, color_of(cell, scale, unit), link) for cell in cells], cells),
        }
        for title, cells, scale, unit in panels
    ]


def _lines(grid: Grid, rendered: list[dict[str, Any]], cells: list[HeatmapCell]) -> list[dict[str, Any]]:
    """Arrange the cells of a heat map in rows: the vertical values in descending order, then the controls."""
    labels = {y: _label(value) for y, value in enumerate(grid.vertical.values)} | {CONTROL: "control"}
    by_place = {(cell.y, cell.x): content for cell, content in zip(cells, rendered, strict=True)}
    heights = sorted({cell.y for cell in cells}, reverse=True)
    widths = range(len(grid.horizontal.values))
    return [{"label": labels[y], "control": y == CONTROL, "cells": [by_place[y, x] for x in widths]} for y in heights]


def _cell(cell: HeatmapCell, color: Color | None, link: Link) -> dict[str, Any]:
    kinds = {"none": color is None, "dark": color is not None and is_dark(color), "clear": cell.bold, "best": cell.best}
    return {
        "kind": " ".join(kind for kind, holds in kinds.items() if holds),
        "color": None if color is None else to_hex(color),
        "parts": cell.text.split("\n"),
        "href": link(cell.folder) if cell.folder else "",
        "title": printable(cell.folder.name) if cell.folder else "",
    }


# Charts -------------------------------------------------------------------------------------------------------------


def _charts(comparison: Comparison, grid: Grid | None, link: Link, suffix: str) -> list[dict[str, Any]]:
    best = comparison.best
    if best is None:
        return []
    scope = f"The best run of each of {len(comparison.rows)} settings"
    with figure_style(transparent=True):
        curves = training_curves(comparison, link)
        if len(curves) < len(comparison.rows):
            scope = f"The best runs of the best {len(curves)} of {len(comparison.rows)} settings on validation"
        coverage = coverage_figure(curves)
        about_coverage = f"{scope}; one point for each labeling of the unlabeled set, a ring around the last."
        if coverage is None:
            about_coverage = "No pseudo-accuracy: the true classes of the unlabeled images are unknown."
        run = best.best_run
        tau = as_number(run.config["threshold"].get("tau")) if run.uses_unlabeled else None
        thresholds = threshold_figure(
            read_threshold_curves(run.folder), list(read_metric_rows(run.folder)), run.summary, tau
        )
        about_thresholds = (
            "What each threshold would select in the best run, of the unlabeled set (pool) and of validation."
        )
        charts: list[tuple[str, str, Figure | None, str]] = [
            (
                "rows",
                "Settings one by one",
                None if grid else ranking_figure(comparison),
                "Accuracy and gain by setting",
            ),
            ("curves", "Training", accuracy_figure(curves, control_history(best)), f"{scope}. {CLIPPED}"),
            ("rounds", "Pseudo-labels: coverage and accuracy", coverage, about_coverage),
            ("what-if", "Other thresholds", thresholds, about_thresholds),
        ]
        return [
            chart_section(f"{id_}{suffix}", title, figure, caption)
            for id_, title, figure, caption in charts
            if figure is not None or id_ == "rounds"
        ]


def _best_run(row: Row, link: Link) -> dict[str, Any]:
    run = row.best_run
    about = {
        "href": link(run.folder),
        "name": printable(run.id),
        "command": reproduce_command(run),
        "mistakes": error_section(run),
    }
    return about | confusion_section(run)
