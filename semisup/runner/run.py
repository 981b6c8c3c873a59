"""One run, from checked settings to a finished folder: where computing, writing and showing meet."""

import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from semisup.config.schema import RunConfig
from semisup.core.events import Event, Finished, MetricsRow, Progress, StepEnd
from semisup.dataset import SPLITS, Data, Dataset
from semisup.errors import (
    CollapsedError,
    DataError,
    DivergedError,
    FinishedError,
    InsufficientMemoryError,
    InUseError,
    RecordError,
    SettingError,
)
from semisup.record import is_finished
from semisup.record.environment import git_diff
from semisup.record.reader import read_json
from semisup.record.writer import OTHER_DATA, RunWriter
from semisup.runner import compatibility
from semisup.runner.collapse import CollapseWatch
from semisup.runner.distributed_run import SAFE_STOP_EVENTS, broadcast_start, run_follower, sync_stop
from semisup.runner.metadata import dataset_metadata, initial_metadata, wandb_info
from semisup.runner.out_of_memory import reading, saving, translate_oom
from semisup.runner.progress import Bars
from semisup.runner.result import EXIT_STATUS, RunResult, record_early_failure, run_folder, traceback_tail
from semisup.runner.shared_start import SharedStartSession
from semisup.runner.signals import StopHandler, StopRequested
from semisup.runtime.determinism import keep_freed_memory
from semisup.runtime.distributed import Team, process_group
from semisup.runtime.precision import configure_torch
from semisup.runtime.secrets import redact
from semisup.runtime.torchrun_env import is_rank_zero
from semisup.tracking import Tracker
from semisup.training.loop import train
from semisup.training.state import State, TrainingData, restore, start

WAIT_SECONDS = 0.5


def run(checked: RunConfig, bars: Bars, *, in_sweep: bool, job_type: str = "train") -> RunResult:
    """Do one run, or find it done. What goes wrong is an Outcome; in a sweep it is also a row on disk.

    `job_type` is what W&B calls it.
    """
    stop = StopHandler()
    outcome = _run_to_result(checked, bars, stop, job_type, in_sweep=in_sweep)
    if stop.asked is not None and not outcome.by:  # it came when the last step was made, or with a failure
        outcome = replace(outcome, by=stop.asked.by)
    return outcome


def _run_to_result(checked: RunConfig, bars: Bars, stop: StopHandler, job_type: str, *, in_sweep: bool) -> RunResult:
    folder = run_folder(checked)
    try:
        with stop, process_group(checked.run.device) as team:
            if not is_rank_zero():
                trained = run_follower(checked, lambda: load_data(checked, bars), stop, team)
                return RunResult(folder, "done", kept=not trained)
            if is_finished(folder):
                return _reuse_finished(checked, folder, bars)
            return _train(checked, folder, bars, stop, team, job_type, in_sweep=in_sweep)
    except FinishedError:
        return RunResult(folder, "done", read_json(folder / "summary.json"), kept=True)
    except InUseError as error:
        return RunResult(folder, "in use", message=str(error))
    except (SettingError, DataError, RecordError) as error:
        outcome = RunResult(folder, "refused", message="; ".join([str(error), *getattr(error, "__notes__", ())]))
    except DivergedError as error:
        outcome = RunResult(folder, "diverged", message=str(error))
    except CollapsedError as error:
        outcome = RunResult(folder, "collapsed", message=str(error))
    except (StopRequested, KeyboardInterrupt) as error:
        code, by = (error.code, error.by) if isinstance(error, StopRequested) else (130, "SIGINT")
        return RunResult(folder, "interrupted", message="stopped; the same command continues", code=code, by=by)
    except SystemExit as error:
        outcome = RunResult(
            folder, "failed", message=f"it called sys.exit({error.code!r})", last_lines=traceback_tail()
        )
    except (InsufficientMemoryError, OSError) as error:
        outcome = RunResult(folder, "failed", message=str(error), last_lines=traceback_tail())
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        outcome = RunResult(
            folder, "failed", message=redact(f"{type(error).__name__}: {error}"), last_lines=traceback_tail()
        )
    if in_sweep and not (folder / "run.json").exists():
        record_early_failure(checked, outcome)
    return outcome


def run_or_wait(checked: RunConfig, bars: Bars) -> RunResult:
    """As `run`, for a member of a sweep or its control: where another job is at it, wait and take its result."""
    while (outcome := run(checked, bars, in_sweep=True)).status == "in use":
        time.sleep(WAIT_SECONDS)
    return outcome


def _reuse_finished(checked: RunConfig, folder: Path, bars: Bars) -> RunResult:
    """A run that was finished before, if it was made of the same data."""
    if checked.elsewhere:  # for its device, which need not be here
        data = checked.dataset.read(checked.dataset.survey(), bars.watch)
    else:
        _, data = load_data(checked, bars)
    dataset = (read_json(folder / "run.json") or {}).get("dataset") or {}
    if dataset.get("fingerprint") != data.fingerprint:
        raise DataError(f"{folder}: {OTHER_DATA}")
    return RunResult(folder, "done", read_json(folder / "summary.json"), kept=True)


_loaded_data: dict[tuple[Dataset, str], tuple[TrainingData, Data]] = {}
"""The data of the last run: members of a sweep mostly want the same."""


def load_data(checked: RunConfig, bars: Bars) -> tuple[TrainingData, Data]:
    key = (checked.dataset, checked.run.device)
    if key not in _loaded_data:
        _loaded_data.clear()  # before the next is read, so that memory holds one
        survey = checked.dataset.survey()
        compatibility.check_compatibility(checked, survey.classes, survey.counts, survey.channels)
        with translate_oom(checked, reading):
            data = checked.dataset.read(survey, bars.watch)
            _loaded_data[key] = compatibility.build_problem(checked, data), data
    problem, data = _loaded_data[key]
    counts = {split: len(getattr(data, split)) for split in SPLITS}
    compatibility.check_compatibility(checked, data.classes, counts, data.labeled.pixels.shape[1])
    return problem, data


def _train(
    checked: RunConfig, folder: Path, bars: Bars, stop: StopHandler, team: Team, job_type: str, *, in_sweep: bool
) -> RunResult:
    configure_torch(checked.run.threads, deterministic=checked.run.deterministic)
    keep_freed_memory()
    with (
        RunWriter(folder, checked.plain, initial_metadata(checked, job_type), git_diff()) as record,
        translate_oom(checked),
    ):
        problem, data = load_data(checked, bars)
        record.describe(dataset_metadata(data), data.report, data.unlabeled.paths)
        state = start(problem, checked.settings)
        snapshot = record.resume()
        broadcast_start(team, stop, data.fingerprint, snapshot)
        if snapshot is not None:
            restore(state, snapshot)
        with SharedStartSession(checked, data, record, wanted=in_sweep and checked.sweep.share_start) as sharing:
            state = sharing.begun(problem, state)
            mirror = checked.tracking.open(wandb_info(checked.plain, checked.id, folder.parent.parent, job_type))
            summary: dict[str, Any] = {}
            try:
                summary = _train_and_record(checked, (problem, data, state), record, mirror, bars, stop, sharing)
            finally:
                flat = {name: value for name, value in summary.items() if not isinstance(value, dict)}
                mirror.close(flat, EXIT_STATUS["done"] if summary else EXIT_STATUS["failed"])
                bars.end()
    return RunResult(folder, "done", summary, shared_start=record.about.get("shared_start"))


def _train_and_record(
    checked: RunConfig,
    of: tuple[TrainingData, Data, State],
    record: RunWriter,
    mirror: Tracker,
    bars: Bars,
    stop: StopHandler,
    sharing: SharedStartSession,
) -> dict[str, Any]:
    """Train, write and show every event, save the state where it is whole; returns the summary."""
    settings, (problem, data, state) = checked.settings, of
    for row in record.rows():
        mirror.row(row)
    bars.begin(checked.id, settings.train)
    watch = CollapseWatch(checked.collapse, checked.id, data.classes, problem.validation.targets)
    stop.wait = True
    events = train(problem, settings, state)
    for event in events:
        record.add(event)
        bars.add(event, settings.train)
        if event.row() is not None:
            mirror.row(event.row() or {})
        watch.see(event)
        sharing.see(event, state)
        if isinstance(event, Finished):
            _save(checked, state, record)
            return _finish_run(checked, data, record, mirror, event)
        sync_stop(stop, event)
        if isinstance(event, Progress) and stop.asked is not None:
            events.close()  # which leaves the state whole
        _save_if_due(checked, event, state, record, stop)
    raise AssertionError("a training ends with Finished")


def _save_if_due(checked: RunConfig, event: Event, state: State, record: RunWriter, stop: StopHandler) -> None:
    if not isinstance(event, SAFE_STOP_EVENTS) or (isinstance(event, Progress) and stop.asked is None):
        return
    wanted = checked.checkpoint
    due = isinstance(event, StepEnd) and wanted.every_steps is not None and event.step % wanted.every_steps == 0
    late = record.seconds_since_save() >= wanted.every_seconds
    if due or late or stop.asked is not None:
        _save(checked, state, record)
    if stop.asked is not None:
        raise stop.asked


def _save(checked: RunConfig, state: State, record: RunWriter) -> None:
    with translate_oom(checked, saving):
        record.save(state.snapshot())


def _finish_run(checked: RunConfig, data: Data, record: RunWriter, mirror: Tracker, event: Finished) -> dict[str, Any]:
    last = record.last_round() if checked.run.plots or mirror.wanted_thumbnails else []
    gate = checked.plain["method"].get("gate")  # of methods that label by rounds
    plots: dict[str, Path] = {}
    if checked.run.plots or (last and mirror.wanted_thumbnails):
        from semisup.report.run_plots import (  # matplotlib, 0.4 s: only where it draws
            draw_run,
            most_and_least_confident,
        )
    if checked.run.plots:
        plots = draw_run(record.folder, record.rows(), event, last, record.curves(), data, gate)
    summary = record.finish(replace(event, summary=event.summary | _pseudo_labels(record.rows())), sorted(plots))
    mirror.plots(plots)
    if last and mirror.wanted_thumbnails:
        mirror.thumbnails("pseudo_labels", *most_and_least_confident(last, data, mirror.wanted_thumbnails))
    return summary


def _pseudo_labels(rows: list[MetricsRow]) -> MetricsRow:
    """What became of the unlabeled images in the end: round, coverage and, where known, accuracy; {} if unasked."""
    asked = [row for row in rows if "pseudo/coverage" in row]
    names = ("pseudo/round", "pseudo/coverage", "pseudo/accuracy")
    return {name: asked[-1][name] for name in names if name in asked[-1]} if asked else {}
