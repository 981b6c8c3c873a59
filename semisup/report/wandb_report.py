"""Upload a comparison to W&B: its tables and charts as one additional W&B run, and the gains of the compared runs.

The id of the additional W&B run is derived from the compared folders, so comparing them again updates the same W&B run.
The gains are added to the W&B summaries of the compared runs (`gain_values`).
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from semisup.analysis.comparison import Comparison
from semisup.analysis.confirmation import read_confirmation
from semisup.analysis.gains import evidence
from semisup.analysis.rows import Row
from semisup.config.settings_objects import build_option
from semisup.errors import DataError, SettingError
from semisup.record.reader import read_config
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
from semisup.tracking.wandb import environment_info


def wandb_settings(comparison: Comparison, folders: list[Path], overrides: list[str]) -> tuple[Any, RunInfo]:
    """Compose the tracker settings for the upload of a comparison, and describe the W&B run to open.

    There are three sources, and later ones override earlier ones: conf/tracking/wandb.yaml, the settings of the first
    compared run that used W&B, `overrides`.

    Args:
        folders: the compared folders, as the user typed them.
        overrides: words of the form `tracking.KEY=VALUE`.

    Raises:
        SettingError: an override has another form, or names no setting.
        DataError: no run can be read.
    """
    from semisup.config.compose import config_folder
    from semisup.config.typed_words import parse_settings

    run = next((run for run in comparison.runs if run.identity), None)
    if run is None:
        raise DataError("--track: none of the compared runs can be read, so there is nothing to upload")
    defaults = read_config(config_folder() / "tracking" / "wandb.yaml")
    node = defaults | _tracked_settings(comparison)
    for word in overrides:
        if not word.startswith("tracking.") or "=" not in word:
            raise SettingError("--track", word, "must be tracking.KEY=VALUE; folders come before --track")
    node |= {key.removeprefix("tracking."): value for key, value in parse_settings(overrides).items()}
    name = run.name or "runs"
    parts = sorted(os.path.realpath(folder) for folder in folders)
    parts += [os.path.realpath(comparison.experiment)] if comparison.experiment else []
    parts += [comparison.data_set] if comparison.data_set else []
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    identity = RunInfo(
        run_id=f"comparison-{re.sub('[^A-Za-z0-9._-]', '-', name)[:80]}-{digest}",
        name=f"comparison of {name}" + (f", {comparison.label}" if comparison.label else ""),
        group=name,
        job_type="compare",
        tags=("comparison",),
        folder=run.folder.resolve().parent.parent / "wandb",
        config={"columns": comparison.columns, "runs": len(comparison.runs)},
        defaults=defaults,
    )
    return build_option("tracking", node), identity


def _tracked_settings(comparison: Comparison) -> dict[str, Any]:
    """Return the tracking settings of the first compared run that used W&B."""
    nodes = [run.config.get("tracking") for run in comparison.runs]
    return next((node for node in nodes if isinstance(node, dict) and node.get("name") == "wandb"), {})


def default_location(identity: RunInfo) -> list[str]:
    """Return lines for the terminal that say where in W&B the comparison was uploaded.

    Returns:
        [] if the upload has failed.
    """
    identity = environment_info(identity)
    folders = sorted(identity.folder.glob(f"*run-*-{identity.run_id}"))
    if not folders:
        return []
    if folders[-1].name.startswith("offline-"):
        return [f"wrote {shell_quote(folders[-1])} for W&B; to send it: wandb sync {shell_quote(folders[-1])}"]
    return [f"shown in W&B as {printable(identity.name)} in the group {printable(identity.group)}"]


def upload_comparison(tracker: Tracker, comparison: Comparison, sentence: str, beside: Path) -> None:
    """Send tables, charts and summary to an open tracker, and close the tracker.

    Args:
        sentence: summary text of the comparison.
        beside: the folder that was compared; paths in the tables are relative to it.
    """
    for name, lines in (("settings", row_lines(comparison)), ("runs", run_lines(comparison, beside))):
        if lines:
            tracker.table(name, list(lines[0]), [[_cell(value) for value in line.values()] for line in lines])
    with tempfile.TemporaryDirectory(prefix="semisup-") as folder:
        charts = {"comparison": draw_heatmap(comparison)} | _charts(comparison)
        for name, content in charts.items():
            write_atomically(Path(folder) / f"{name}.png", content)
        tracker.plots({name: Path(folder) / f"{name}.png" for name in charts})
        tracker.close(_summary(comparison, sentence, beside), 0)


def _charts(comparison: Comparison) -> dict[str, bytes]:
    if comparison.best is None:
        return {}
    with figure_style():
        curves = training_curves(comparison, lambda folder: "")
        accuracy, coverage = accuracy_figure(curves, control_history(comparison.best)), coverage_figure(curves)
        figures = {"curves": accuracy, "rounds": coverage}
        return {name: render_png(figure) for name, figure in figures.items() if figure is not None}


def gain_values(comparison: Comparison) -> dict[str, dict[str, object]]:
    """Collect the gains to add to the W&B summary of each run that uses unlabeled images.

    Some values are about the run itself, such as `gain_over_control_points`. Values whose name begins with `setting/`
    are about all runs (seeds) of its setting; `setting/rank` is 1 for the setting that is best on validation.

    Returns:
        Run folder -> name of the value -> value, for each run that has a gain.
    """
    values: dict[str, dict[str, object]] = {}
    ranked = [row for row in comparison.rows if row.controls]
    for rank, row in enumerate(ranked, start=1):
        if not row.gains:
            continue
        of_row: dict[str, object] = {"setting/rank": rank, "setting/seeds": len(row.runs)}
        spreads = {"best/val/accuracy": row.accuracy("validation"), "test/accuracy": row.accuracy("test")}
        of_row |= {f"setting/{name}": value.mean for name, value in spreads.items() if value}
        measure = row.runs[0].measure
        of_row |= {"setting/gains_measured_in": measure}
        of_row |= {} if row.ensemble is None else {f"setting/ensemble/test/{measure}": row.ensemble}
        of_row |= {f"setting/{name}": value for name, value in _gains_over_references(row, confirmed=False).items()}
        for place, run in enumerate(row.runs):
            own = {
                name: row.references(kind)[place].points for name, kind in REFERENCES.items() if row.references(kind)
            }
            points = {f"gain_over_{name}_points": value for name, value in own.items() if value is not None}
            values[str(run.folder)] = points | of_row
    return values


def _gains_over_references(row: Row, *, confirmed: bool) -> dict[str, object]:
    """Collect the mean gains of a row (the runs of one setting) over its reference runs.

    These are the control (the same run without unlabeled images), the best labels-only runs, and the baseline (labels
    only, without augmentation).

    Args:
        confirmed: whether the runs are those of `semisup confirm`.

    Returns:
        Name -> value: for each kind of reference, the mean gain in percentage points, the limits of its 95 % interval,
        and the strength of the evidence for a gain.
    """
    values: dict[str, object] = {}
    for name, kind in REFERENCES.items():
        if (gain := row.gains.get(kind)) is None:
            continue
        interval = gain.interval if confirmed else gain.sweep_interval
        values[f"gain_over_{name}_points"] = gain.mean
        if interval is not None:
            values[f"gain_over_{name}_points_low"] = interval.low
            values[f"gain_over_{name}_points_high"] = interval.high
            values[f"gain_over_{name}_evidence"] = str(evidence(interval, confirmed=confirmed))
    return values


def _summary(comparison: Comparison, sentence: str, folder: Path) -> dict[str, object]:
    best = comparison.best
    summary: dict[str, object] = {"sentence": sentence, "count/runs": len(comparison.runs)}
    summary |= {"count/settings": len(comparison.rows), "count/unfinished": len(comparison.unfinished)}
    if best is not None:
        spreads = {"best/val/accuracy": best.accuracy("validation"), "test/accuracy": best.accuracy("test")}
        summary |= {name: value.mean for name, value in spreads.items() if value}
        summary |= _gains_over_references(best, confirmed=False)
        measure = best.runs[0].measure
        summary |= {"gains_measured_in": measure}
        summary |= {} if best.ensemble is None else {f"ensemble/test/{measure}": best.ensemble}
    summary |= {f"same_selection/{each.per_class}_per_class": each.share for each in comparison.stability}
    result = read_confirmation(folder)
    if result is not None and (row := result[1]) is not None and len(row.runs) == len(result[0].seeds):
        values = {"seeds": len(row.runs)} | _gains_over_references(row, confirmed=True)
        summary |= {f"confirmed/{name}": value for name, value in values.items()}
    return summary


def _cell(value: object) -> object:
    """Convert a value to a number or text, for a cell of a W&B table."""
    return value if value is None or isinstance(value, bool | int | float) else printable(value)
