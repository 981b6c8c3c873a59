"""Finish a run: draw its plots, write its summary and close its tracker.

The training may have taken days, so an error in a plot or in the tracker only causes a warning.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from semisup.analysis.diagnosis import find_unused_reason
from semisup.analysis.runs import NO_ACCURACY
from semisup.config.schema import RunConfig
from semisup.core.chance import chance_limit
from semisup.core.events import Finished, MetricsRow
from semisup.dataset import Data
from semisup.errors import LockLostError
from semisup.method import Gated
from semisup.record.status import RunStatus
from semisup.record.writer import RunWriter
from semisup.runner.result import EXIT_STATUS
from semisup.runtime.secrets import redact
from semisup.text import printable
from semisup.tracking import Tracker


def finish_run(
    run_config: RunConfig, data: Data, record: RunWriter, tracker: Tracker, event: Finished
) -> dict[str, Any]:
    """Finish a run: draw its plots, write and return its summary, and upload both.

    Raises:
        OSError: the summary cannot be written. Errors of plots and of the tracker only cause warnings.
    """
    plots: dict[str, Path] = {}
    if run_config.run.plots:
        with _warn_on_error("not all plots of the run were drawn"):
            _draw(run_config, data, record, event)
        plots = {path.stem: path for path in sorted((record.folder / "plots").glob("*.png"))}
    added: dict[str, Any] = {"refit": NO_ACCURACY} if run_config.settings.train.refit else {}
    added |= _last_labeling(record.read_metrics())
    method = run_config.settings.method
    if method.uses_unlabeled and getattr(method, "gate", None) == "auto" and not run_config.settings.train.refit:
        added["pseudo/gate"] = _gate(run_config, data)
    chance = chance_limit(data.validation.targets)
    if reason := find_unused_reason(run_config, record.folder, event.summary | added, chance):
        added["unused_reason"] = reason
    summary = record.finish(replace(event, summary=event.summary | added), sorted(plots))
    with _warn_on_error("the plots of the run were not all uploaded to the tracker"):
        tracker.plots(plots)
        _upload_thumbnails(data, record, tracker)
    return summary


def close_tracker(tracker: Tracker, summary: dict[str, Any]) -> None:
    """Close the tracker with the scalars of the summary.

    An empty summary means that the run did not finish.
    """
    with _warn_on_error("the tracker was not closed"):
        scalars = {name: value for name, value in summary.items() if not isinstance(value, dict)}
        tracker.close(scalars, EXIT_STATUS[RunStatus.DONE if summary else RunStatus.FAILED])


@contextmanager
def _warn_on_error(consequence: str) -> Iterator[None]:
    """Context that converts errors to warnings; `consequence` is the beginning of the warning."""
    try:
        yield
    except LockLostError:
        raise
    except Exception as error:  # the record is complete without what failed
        cause = printable(redact((str(error).splitlines() or [""])[0]))
        warnings.warn(f"{consequence} ({type(error).__name__}: {cause}); its record is complete", stacklevel=3)


def _draw(run_config: RunConfig, data: Data, record: RunWriter, event: Finished) -> None:
    from semisup.report.run_plots import draw_run  # imports matplotlib (0.4 s)

    rows, last, curves = record.read_metrics(), record.read_last_round(), record.read_curves()
    record.write_plots(lambda folder: draw_run(folder, rows, event, last, curves, data, _gate(run_config, data)))


def _gate(run_config: RunConfig, data: Data) -> float | None:
    """Return the validation accuracy above which the run labels the unlabeled set; None for online methods."""
    method = run_config.settings.method
    return method.gate_accuracy(data.validation.targets) if isinstance(method, Gated) else None


def _upload_thumbnails(data: Data, record: RunWriter, tracker: Tracker) -> None:
    last = record.read_last_round() if tracker.wanted_thumbnails else []
    if last:
        from semisup.report.run_plots import most_and_least_confident

        tracker.thumbnails("pseudo_labels", *most_and_least_confident(last, data, tracker.wanted_thumbnails))


def _last_labeling(rows: list[MetricsRow]) -> MetricsRow:
    """Find the metrics of a run's last pseudo-labels that its summary contains; {} if it had none."""
    labelings = [row for row in rows if "pseudo/coverage" in row]
    kinds = ("round", "coverage", "accuracy", "other", "rejected", "reject_limit", "reject_auroc")
    names = [f"pseudo/{kind}" for kind in kinds]
    return {name: labelings[-1][name] for name in names if name in labelings[-1]} if labelings else {}
