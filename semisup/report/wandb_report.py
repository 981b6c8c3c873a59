"""Upload a comparison to W&B as a run in the group of the sweep, with the same tables and charts.

Its id is derived from the compared folders, so that comparing them again updates the same run.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from semisup.analysis.comparison import Comparison
from semisup.config import schema
from semisup.errors import DataError, SettingError
from semisup.record.reader import parse_value, read_config
from semisup.report.export import REFERENCES, row_lines, run_lines
from semisup.report.figures.comparison_curves import (
    accuracy_figure,
    control_history,
    coverage_figure,
    training_curves,
)
from semisup.report.figures.heatmap import draw_heatmap
from semisup.report.figures.style import figure_style, render_png
from semisup.runtime.atomic_files import write_atomically
from semisup.text import printable, shell_quote
from semisup.tracking import RunInfo, Tracker

GROUP = "tracking."


def wandb_settings(comparison: Comparison, folders: list[Path], overrides: list[str]) -> tuple[Any, RunInfo]:
    """Settings of the tracker, and the W&B run to open.

    Settings come from conf/tracking/wandb.yaml, then from the first tracked run, then from `overrides`.

    Args:
        folders: as given by the user.
        overrides: `tracking.KEY=VALUE`.

    Raises:
        SettingError: an override has another form, or names no setting.
        DataError: no run can be read.
    """
    from semisup.config.compose import config_folder

    run = next((run for run in comparison.runs if run.identity), None)
    if run is None:
        raise DataError("--track: none of the runs can be read")
    node = read_config(config_folder() / "tracking" / "wandb.yaml") | _tracked_settings(comparison)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.startswith(GROUP):
            raise SettingError("--track", override, "must be tracking.KEY=VALUE; folders come before --track")
        node[key.removeprefix(GROUP)] = parse_value(text)
    name = run.name or "runs"
    parts = sorted(os.path.realpath(folder) for folder in folders)
    parts += [comparison.data_set] if comparison.data_set else []
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    identity = RunInfo(
        run_id=f"comparison-{re.sub('[^A-Za-z0-9._-]', '-', name)[:80]}-{digest}",
        name=f"comparison of {name}" + (f", {comparison.data_set}" if comparison.data_set else ""),
        group=name,
        job_type="compare",
        tags=("comparison",),
        folder=run.folder.resolve().parent.parent / "wandb",
        config={"columns": comparison.columns, "runs": len(comparison.runs)},
    )
    return schema.build_option("tracking", node), identity


def _tracked_settings(comparison: Comparison) -> dict[str, Any]:
    """Tracking settings of the first tracked run."""
    nodes = [run.config.get("tracking") for run in comparison.runs]
    return next((node for node in nodes if isinstance(node, dict) and node.get("name") == "wandb"), {})


def default_location(identity: RunInfo) -> list[str]:
    """Lines that state where the comparison is and how to send it; none where W&B failed, which was reported."""
    folders = sorted(identity.folder.glob(f"*run-*-{identity.run_id}"))
    if not folders:
        return []
    if folders[-1].name.startswith("offline-"):
        return [f"wrote {shell_quote(folders[-1])} for W&B; to send it: wandb sync {shell_quote(folders[-1])}"]
    return [f"shown in W&B as {printable(identity.name)} in the group {printable(identity.group)}"]


def upload_comparison(tracker: Tracker, comparison: Comparison, sentence: str, beside: Path) -> None:
    """Send tables, charts and summary to an open tracker, and close it.

    Args:
        sentence: summary of the comparison.
    """
    for name, lines in (("settings", row_lines(comparison)), ("runs", run_lines(comparison, beside))):
        if lines:
            tracker.table(name, list(lines[0]), [[_cell(value) for value in line.values()] for line in lines])
    with tempfile.TemporaryDirectory(prefix="semisup-") as folder:
        charts = {"comparison": draw_heatmap(comparison)} | _charts(comparison)
        for name, content in charts.items():
            write_atomically(Path(folder) / f"{name}.png", content)
        tracker.plots({name: Path(folder) / f"{name}.png" for name in charts})
        tracker.close(_summary(comparison, sentence), 0)


def _charts(comparison: Comparison) -> dict[str, bytes]:
    if comparison.best is None:
        return {}
    with figure_style():
        curves = training_curves(comparison, lambda folder: "")
        accuracy, coverage = accuracy_figure(curves, control_history(comparison.best)), coverage_figure(curves)
        figures = {"curves": accuracy, "rounds": coverage}
        return {name: render_png(figure) for name, figure in figures.items() if figure is not None}


def _summary(comparison: Comparison, sentence: str) -> dict[str, object]:
    best = comparison.best
    summary: dict[str, object] = {"sentence": sentence, "count/runs": len(comparison.runs)}
    summary |= {"count/settings": len(comparison.rows), "count/unfinished": len(comparison.unfinished)}
    if best is not None:
        spreads = {"best/val/accuracy": best.accuracy("validation"), "test/accuracy": best.accuracy("test")}
        summary |= {name: value.mean for name, value in spreads.items() if value}
        for name, kind in REFERENCES.items():
            if (gain := best.gains.get(kind)) is None:
                continue
            summary[f"gain_over_{name}_points"] = gain.mean
            if (interval := gain.sweep_interval) is not None:
                summary[f"gain_over_{name}_points_low"] = interval.low
                summary[f"gain_over_{name}_points_high"] = interval.high
    return summary


def _cell(value: object) -> object:
    """A value for a W&B table: a number or text."""
    return value if value is None or isinstance(value, bool | int | float) else printable(value)
