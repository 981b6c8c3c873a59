"""The comparison as a run of its own in W&B, in the group of the sweep: the same tables and the same pictures.

Its id comes from the folders that are compared, so that comparing them again shows in the same place.
"""

import hashlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from semisup.analysis.comparison import Comparison
from semisup.config import schema
from semisup.errors import DataError, SettingError
from semisup.record.reader import parse_value, read_config
from semisup.report.comparison_charts import accuracy_chart, control_history, rounds_chart, training_curves
from semisup.report.export import row_lines, run_lines
from semisup.report.heatmap import heatmap_figure
from semisup.report.wording import mean_gain
from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.text import printable, shell_quote
from semisup.tracking import RunInfo, Tracker

GROUP = "tracking."


def wandb_settings(comparison: Comparison, folders: list[Path], words: list[str]) -> tuple[Any, RunInfo]:
    """The settings of the mirror, and what it is to be opened with.

    They are those of conf/tracking/wandb.yaml, then of the first run that was tracked, then of `words`.

    Args:
        folders: as given by the user.
        words: `tracking.KEY=VALUE`.

    Raises:
        SettingError: a word is not of that form, or no such setting.
        DataError: there is no run to tell of.
    """
    from semisup.config.compose import config_folder

    run = next((run for run in comparison.runs if run.identity), None)
    if run is None:
        raise DataError("--track: there is no run that could be read")
    node = read_config(config_folder() / "tracking" / "wandb.yaml") | _own_settings(comparison)
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.startswith(GROUP):
            raise SettingError("--track", word, "must be tracking.KEY=VALUE; folders come before --track")
        node[key.removeprefix(GROUP)] = parse_value(text)
    name = run.name or "runs"
    places = sorted(os.path.realpath(folder) for folder in folders)
    places += [comparison.data_set] if comparison.data_set else []
    digest = hashlib.sha256("\0".join(places).encode("utf-8", "surrogateescape")).hexdigest()[:8]
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


def _own_settings(comparison: Comparison) -> dict[str, Any]:
    """How the first tracked run was tracked."""
    nodes = [run.config.get("tracking") for run in comparison.runs]
    return next((node for node in nodes if isinstance(node, dict) and node.get("name") == "wandb"), {})


def default_location(identity: RunInfo) -> list[str]:
    """Where the comparison is, as far as it is on disk, and how to send it; nothing where W&B failed, and was told."""
    kept = sorted(identity.folder.glob(f"*run-*-{identity.run_id}"))
    if not kept:
        return []
    if kept[-1].name.startswith("offline-"):
        return [f"wrote {shell_quote(kept[-1])} for W&B; to send it: wandb sync {shell_quote(kept[-1])}"]
    return [f"shown in W&B as {printable(identity.name)} in the group {printable(identity.group)}"]


def upload_comparison(tracker: Tracker, comparison: Comparison, words: str, beside: Path) -> None:
    """Fill an open mirror and close it.

    Args:
        words: what the comparison comes to.
    """
    for name, lines in (("settings", row_lines(comparison)), ("runs", run_lines(comparison, beside))):
        if lines:
            tracker.table(name, list(lines[0]), [[_cell(value) for value in line.values()] for line in lines])
    with tempfile.TemporaryDirectory(prefix="semisup-") as folder:
        pictures = {"comparison": heatmap_figure(comparison)} | _charts(comparison)
        for name, content in pictures.items():
            write_atomically(Path(folder) / f"{name}.png", content)
        tracker.plots({name: Path(folder) / f"{name}.png" for name in pictures})
        tracker.close(_summary(comparison, words), 0)


def _charts(comparison: Comparison) -> dict[str, bytes]:
    if comparison.best is None:
        return {}
    curves = training_curves(comparison, lambda folder: "")
    figures = {"curves": accuracy_chart(curves, control_history(comparison.best)), "rounds": rounds_chart(curves)}
    return {name: _png(figure) for name, figure in figures.items() if figure is not None}


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def _summary(comparison: Comparison, words: str) -> dict[str, object]:
    best = comparison.best
    summary: dict[str, object] = {"sentence": words, "count/runs": len(comparison.runs)}
    summary |= {"count/settings": len(comparison.rows), "count/unfinished": len(comparison.unfinished)}
    if best is not None:
        spreads = {"best/val/accuracy": best.accuracy("validation"), "test/accuracy": best.accuracy("test")}
        spreads["gain_over_control_points"] = mean_gain(best.controls)
        summary |= {name: value.mean for name, value in spreads.items() if value}
    return summary


def _cell(value: object) -> object:
    """W&B's tables hold numbers and text."""
    return value if value is None or isinstance(value, bool | int | float) else printable(value)
