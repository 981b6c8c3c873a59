"""Write all files of a run directory during training, from config.yaml to summary.json."""

import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy
import yaml

from semisup.core.csv_cells import csv_text
from semisup.core.events import EvalEnd, Event, Finished, MetricsRow, PoolLabeled
from semisup.core.types import ThresholdCurve
from semisup.errors import DataError, FinishedError, LockLostError, RecordError
from semisup.record import checkpoint, finite, is_finished, labeled_features, probabilities
from semisup.record.append_log import AppendLog
from semisup.record.curves import (
    CLASSES,
    CURVES,
    POOL,
    VALIDATION,
    EvalThresholdCurve,
    class_rows,
    curve_rows,
    read_curves,
    written_curves,
)
from semisup.record.environment import resume_environment
from semisup.record.locked_directory import LockedDirectory
from semisup.record.pseudo_labels import PseudoLabelRow, columns, csv_cell, label_lines, last_round
from semisup.record.reader import read_json
from semisup.record.shared_start import SharedStart, event_from_dict, event_to_dict
from semisup.record.status import RunStatus, interruptions, now, status_of
from semisup.runtime.atomic_files import sync_folder
from semisup.runtime.secrets import redact
from semisup.runtime.temporary_files import remove_stale_temporary_files
from semisup.text import escape_line

SCHEMA = 1
OTHER_DATA = "the data set has changed since this run began; type name=NAME for a new run, or delete the run directory"
PREDICTIONS = ("split", "path", "class", "predicted", "confidence")


class RunWriter:
    """Context manager that writes the files of a run directory during training.

    It locks the directory, and records the status of the run at the end. If another process took over the lock, or the
    directory was deleted or moved, LockLostError is raised and nothing more is written.

    Args:
        folder: the run directory; created if missing.
        config: all settings, as plain data.
        about: entries of run.json besides status and times: id, name, environment.
        uncommitted: the diff of uncommitted code, for git.diff; None if there is none.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], about: dict[str, Any], uncommitted: str | None = None
    ) -> None:
        self.folder, self.config, self.about, self.uncommitted = folder, config, about, uncommitted
        self.environment: dict[str, Any] = about.get("environment") or {}
        self.paths: list[str] = []
        self.classes: tuple[str, ...] = ()
        self.cells: tuple[list[str], list[str]] | None = None  # `paths` and `classes`, as CSV cells
        self.evaluated: EvalEnd | None = None  # the last one; a labeling due to it precedes the next save
        self.directory = LockedDirectory(folder)
        self.started = self.saved = time.monotonic()
        self.started_at = now()
        self.before: dict[str, Any] = {}  # run.json of the interrupted run that this one continues
        self._open_logs(folder)

    def _open_logs(self, bound: Path) -> None:
        names = ("metrics.jsonl", "pseudo_labels.csv", "what_if.csv", "classes.csv")
        self.logs = tuple(AppendLog(bound / name, self.folder / name) for name in names)
        self.metrics, self.pseudo_labels, self.what_if, self.per_class = self.logs

    def __enter__(self) -> Self:
        self.directory.acquire("checkpoints", "plots")
        try:
            self._open_logs(self.directory.bound)
            with self.directory.writing():
                self._begin()
        except BaseException:
            self.directory.release()
            raise
        return self

    def _begin(self) -> None:
        if is_finished(self.directory.bound):
            raise FinishedError(f"{self.folder}: finished")
        for folder in (self.directory.bound, self.directory.bound / "checkpoints", self.directory.bound / "plots"):
            remove_stale_temporary_files(folder)
        self.before = read_json(self.directory.bound / "run.json") or {}
        text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=False)
        self.directory.write("config.yaml", text.encode())
        self._write_diff()
        if "dataset" in self.before:
            self.about = {"dataset": self.before["dataset"]} | self.about
        if "environment" in self.before:  # `resume` replaces it if there is no checkpoint
            self.about = self.about | {"environment": self.before["environment"]}
        self._write_status(RunStatus.RUNNING)

    def _write_diff(self) -> None:
        if self.uncommitted is None:
            return
        text, name = escape_line(self.uncommitted).encode(), "git.diff"
        if (self.directory.bound / name).exists() and (self.directory.bound / name).read_bytes() != text:
            name = "git-continued.diff"
        self.directory.write(name, text)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and not isinstance(error, LockLostError):
                self._write_failure(error)
        except (OSError, LockLostError) as other:  # usually a full disk, which `error` also reports
            warnings.warn(f"{self.folder}: the status of the run could not be written ({other})", stacklevel=2)
        finally:
            for log in self.logs:
                log.close()
            self.directory.release()

    def _write_failure(self, error: BaseException) -> None:
        if isinstance(error, DataError) and error.report is not None:
            self.directory.write_json("data_report.json", dict(error.report))
            error.add_note(f"all of them: {self.folder / 'data_report.json'}")
        self._write_status(status_of(error), {"kind": type(error).__name__, "message": redact(str(error))[:2000]})

    def set_dataset(self, dataset: dict[str, Any], report: dict[str, Any], paths: list[str]) -> None:
        """Record the data set of the run in its files.

        Args:
            dataset: fingerprint, classes and counts, for run.json.
            report: the content of data_report.json.
            paths: paths of the unlabeled images, for pseudo_labels.csv.

        Raises:
            DataError: this run was started with other data.
        """
        before = self.before.get("dataset")
        if isinstance(before, dict) and before.get("fingerprint") not in (None, dataset["fingerprint"]):
            raise DataError(f"{self.folder}: {OTHER_DATA}")
        self.paths, self.classes = paths, tuple(dataset["classes"])
        self.about = self.about | {"dataset": dataset}
        self.directory.write_json("data_report.json", report)
        self._write_status(RunStatus.RUNNING)

    def resume(self) -> dict[str, Any] | None:
        """Prepare to continue an interrupted run: load its newest state, and delete the log lines written after it.

        Returns:
            the state of the training; None if there are no checkpoints.

        Raises:
            RecordError: there are checkpoints but none is usable, or they belong to another run, other data or other
                package versions.
        """
        found = checkpoint.load_state(self.folder / "checkpoints")
        if found and (of := found[0].pop("of", None)) != self._identity():
            raise RecordError(
                f"{self.folder}: its checkpoint belongs to {of}, not to {self._identity()}; delete the run directory"
            )
        if found and "environment" in self.before:
            self.about = self.about | resume_environment(self.before["environment"], self.environment)
        elif self.environment:
            self.about = self.about | {"environment": self.environment}
        if found and "shared_start" in self.before:
            self.about = self.about | {"shared_start": self.before["shared_start"]}
        lines = found[1] if found else {}
        with self.directory.writing():
            for log in self.logs:
                log.truncate(lines.get(log.path.name, 0))
        if found and (evaluated := found[0].pop("led_to_labeling", None)) is not None:
            self.evaluated = event_from_dict(evaluated)
        return found[0] if found else None

    def export_start(self, snapshot: dict[str, Any]) -> SharedStart:
        """Build a shared start, from which other runs can continue, from the state and the logs of this run.

        Args:
            snapshot: the state of the training.
        """
        logs = {log.path.name: log.path.read_text(encoding="utf-8") for log in self.logs if log.path.exists()}
        spent = [row.get(name) for row in self.read_metrics() for name in ("train_seconds", "val_seconds")]
        return SharedStart(
            snapshot, logs, self.evaluated, str(self.about["id"]), float(sum(each or 0.0 for each in spent))
        )

    def adopt_shared_start(self, found: SharedStart) -> None:
        """Continue this run from a shared start: copy the logs in it, and record its origin in run.json."""
        with self.directory.writing():
            for log in self.logs:
                log.overwrite(found.logs.get(log.path.name))
        self.evaluated = found.evaluated
        self.about = self.about | {"shared_start": found.metadata()}
        self._write_status(RunStatus.RUNNING)

    def read_metrics(self) -> list[MetricsRow]:
        """Read the metrics that this run has logged."""
        path = self.metrics.path
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def read_last_round(self) -> list[PseudoLabelRow]:
        """Read the pseudo-labels of the last labeling round of this run; [] if there was none."""
        return last_round(self.pseudo_labels.path, self.paths)

    def write_event(self, event: Event) -> None:
        """Write the metrics and pseudo-labels of a training event to the run's files.

        Raises:
            LockLostError: this process no longer holds the lock.
            OSError: the log cannot be written, for example because the disk is full.
        """
        if self.directory.lock.lost:
            self.directory.lock.assert_held()
        if isinstance(event, EvalEnd):
            self.evaluated = event
        row = event.row()
        if row is None and not isinstance(event, Finished):
            return
        with self.directory.writing():
            if row is not None:
                self.metrics.append(json.dumps(finite(row)) + "\n")
            if isinstance(event, PoolLabeled):
                self._add_pseudo_labels(event)
                self._add_diagnostics(event)
            elif isinstance(event, Finished) and event.what_if is not None:
                self._add_selected(event, event.what_if)

    def read_curves(self) -> list[EvalThresholdCurve]:
        """Read the threshold curves that this run has written to what_if.csv so far."""
        return read_curves(self.what_if.path)

    def save(self, snapshot: dict[str, Any]) -> None:
        """Save the state of the training as a checkpoint, with the number of lines of each log."""
        if "unheard" in snapshot and self.evaluated is not None:
            snapshot = snapshot | {"led_to_labeling": event_to_dict(self.evaluated)}
        with self.directory.writing():
            lines = {log.path.name: log.sync() for log in self.logs}
            sync_folder(self.directory.bound)
            state = snapshot | {"of": self._identity()}
            checkpoint.save_state(self.directory.bound / "checkpoints", state, lines, self.directory.lock.assert_held)
        self.saved = time.monotonic()

    def _identity(self) -> dict[str, str | None]:
        """Return the id of the run and the fingerprint of its data set, which every checkpoint of the run contains."""
        return {"run": self.about.get("id"), "data": (self.about.get("dataset") or {}).get("fingerprint")}

    def seconds_since_save(self) -> float:
        """Return the seconds since this process last saved a state, or since it started."""
        return time.monotonic() - self.saved

    def write_plots(self, draw: Callable[[Path], dict[str, Path]]) -> dict[str, Path]:
        """Call `draw` to save the plots of the run.

        Args:
            draw: function from the run directory to name -> path of each plot.

        Returns:
            name of each plot -> its path in the run directory.
        """
        with self.directory.writing():
            files = draw(self.directory.bound)
        return {name: self.directory.public_path(path) for name, path in files.items()}

    def finish(self, event: Finished, plots: list[str]) -> dict[str, Any]:
        """Write the last files of the run: predictions, status, and finally summary.json.

        Args:
            event: the results.
            plots: names of the plots.

        Returns:
            the content of summary.json.
        """
        with self.directory.writing():
            checkpoint.prune(self.directory.bound / "checkpoints", keep=1)
        bins = {split: [each._asdict() for each in pair] for split, pair in event.reliability.items()}
        found = {"confusion": event.confusion, "recall": event.recall, "reliability": bins}
        summary = {**event.summary, **found, "total_seconds": self._seconds()}
        if event.predictions:
            text = csv_text([PREDICTIONS, *self._predictions(event)])
            self.directory.write("predictions.csv", escape_line(text).encode())
        if event.probabilities:
            arrays = [event.probabilities[split].numpy() for split in event.predictions]
            self.directory.write(probabilities.FILE, probabilities.encode_probabilities(numpy.concatenate(arrays)))
        if event.labeled_features is not None:
            content = labeled_features.encode_labeled_features(event.labeled_features.numpy())
            self.directory.write(labeled_features.FILE, content)
        self._write_status(RunStatus.DONE, plots=plots)
        self.directory.write_json("summary.json", summary)
        return summary

    def _predictions(self, event: Finished) -> Iterator[tuple[object, ...]]:
        names = self.classes
        for split, found in event.predictions.items():
            each = zip(*found, strict=True)
            yield from ((split, path, names[true], names[said], sure) for path, true, said, sure in each)

    def _seconds(self) -> float:
        before = self.before.get("seconds")
        return (before if isinstance(before, float) else 0.0) + time.monotonic() - self.started

    def _now(self) -> str:
        """Return the present time in ISO format: the start time plus the monotonic time since then.

        The result does not depend on changes of the system clock during the run.
        """
        return (datetime.fromisoformat(self.started_at) + timedelta(seconds=time.monotonic() - self.started)).isoformat(
            timespec="seconds"
        )

    def _write_status(
        self, status: RunStatus, error: dict[str, str] | None = None, plots: list[str] | None = None
    ) -> None:
        state = {
            "schema": SCHEMA,
            "status": status,
            "error": error,
            "seconds": self._seconds(),
            "started_at": self.before.get("started_at") or self.started_at,
            "updated_at": self._now(),
            "ended_at": None if status is RunStatus.RUNNING else self._now(),
            "resumed": int(self.before.get("resumed") or 0) + 1 if self.before else 0,
            "interruptions": interruptions(self.before),
            "plots": plots or [],
        }
        self.directory.write_json("run.json", {**self.about, **state})

    def _add_pseudo_labels(self, event: PoolLabeled) -> None:
        if self.cells is None:
            self.cells = [csv_cell(path) for path in self.paths], [csv_cell(name) for name in self.classes]
        header = "" if self.pseudo_labels.path.exists() else csv_text([columns(event)])
        self.pseudo_labels.append(header + label_lines(event, *self.cells))

    def _add_diagnostics(self, event: PoolLabeled) -> None:
        before = self.evaluated
        if before is not None and before.what_if is not None:
            self._add_curve(EvalThresholdCurve(before.step, before.epoch, VALIDATION, before.what_if))
        self._add_curve(EvalThresholdCurve(event.step, event.epoch, POOL, event.what_if))
        _add_rows(self.per_class, CLASSES, class_rows(event, self.classes))

    def _add_selected(self, event: Finished, what_if: ThresholdCurve) -> None:
        """Append the threshold curve of the best model to what_if.csv, unless the file has this curve already."""
        step, epoch = int(event.summary["best/step"] or 0), int(event.summary["best/epoch"] or 0)
        if (step, VALIDATION) not in written_curves(self.what_if.path):
            self._add_curve(EvalThresholdCurve(step, epoch, VALIDATION, what_if))

    def _add_curve(self, found: EvalThresholdCurve) -> None:
        _add_rows(self.what_if, CURVES, curve_rows(found))


def _add_rows(log: AppendLog, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Append lines to a CSV file of the run, preceded by a header if the file is new."""
    header = [] if log.path.exists() else [columns]
    log.append(csv_text([*header, *rows]))
