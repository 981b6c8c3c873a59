"""Finish a run: draw its plots, write its summary and close its tracker.

Errors of plots and of the tracker are converted to warnings, because the training may have taken days.
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
    """Draw the plots of a run, write its summary, and upload the plots.

    Args:
        record: writer of the run directory.
        event: the last event of the training.

    Returns:
        The summary.

    Raises:
        OSError: the summary cannot be written.
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
    if reason := find_unused_reason(
        run_config, record.folder, event.summary | added, lambda: chance_limit(data.validation.targets)
    ):
        added["unused_reason"] = reason
    summary = record.finish(replace(event, summary=event.summary | added), sorted(plots))
    with _warn_on_error("the plots of the run were not all uploaded to the tracker"):
        tracker.plots(plots)
        _upload_thumbnails(data, record, tracker)
    return summary


def close_tracker(tracker: Tracker, summary: dict[str, Any]) -> None:
    """Upload the numbers and texts of the summary, and close the tracker.

    Args:
        summary: the summary of the run; {} if the run is not finished.
    """
    with _warn_on_error("the tracker was not closed"):
        scalars = {name: value for name, value in summary.items() if not isinstance(value, dict)}
        tracker.close(scalars, EXIT_STATUS[RunStatus.DONE if summary else RunStatus.FAILED])


@contextmanager
def _warn_on_error(consequence: str) -> Iterator[None]:
    """Context manager that converts exceptions in its body to warnings.

    Args:
        consequence: beginning of the warning, such as "the tracker was not closed".
    """
    try:
        yield
    except LockLostError:
        raise
    except Exception as error:  # the record is complete without what failed
        cause = printable(redact((str(error).splitlines() or [""])[0]))
        warnings.warn(f"{consequence} ({type(error).__name__}: {cause}); the run directory is complete", stacklevel=3)


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
    """Select the metrics of the last labeling of the unlabeled set, for the summary; {} if there was none.

    Args:
        rows: the logged metrics of the run.
    """
    labelings = [row for row in rows if "pseudo/coverage" in row]
    kinds = ("round", "coverage", "accuracy", "other", "rejected", "reject_limit", "reject_auroc")
    names = [f"pseudo/{kind}" for kind in kinds]
    return {name: labelings[-1][name] for name in names if name in labelings[-1]} if labelings else {}
