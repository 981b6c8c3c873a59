"""Train one run, from validated settings to a finished run directory."""

import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from semisup.config.schema import RunConfig
from semisup.core.events import BurnInEnd, EpochEnd, Event, Finished, Progress, StepEnd
from semisup.dataset import Data
from semisup.errors import (
    CollapsedError,
    DataError,
    DivergedError,
    FinishedError,
    InsufficientMemoryError,
    InUseError,
    LockLostError,
    RecordError,
    SettingError,
    StoppedAtRungError,
)
from semisup.record import is_finished
from semisup.record.environment import git_diff
from semisup.record.finished_states import delete_finished_states
from semisup.record.lock import RunLock
from semisup.record.reader import read_json
from semisup.record.rung import RungScore
from semisup.record.status import RunStatus
from semisup.record.weights_check import check_snapshot
from semisup.record.writer import OTHER_DATA, RunWriter
from semisup.reject import Reject
from semisup.runner.collapse import CollapseWatch
from semisup.runner.data import load_data
from semisup.runner.distributed_run import SAFE_STOP_EVENTS, broadcast_start, run_follower, sync_stop
from semisup.runner.encoding import encode_run
from semisup.runner.feature_difference import check_same_features
from semisup.runner.finish import close_tracker, finish_run
from semisup.runner.metadata import dataset_metadata, initial_metadata, job_type, wandb_info
from semisup.runner.open_set import RejectWatch, warn_of_other_classes, warn_of_single_images
from semisup.runner.out_of_memory import saving, translate_oom
from semisup.runner.output_root import check_output_root
from semisup.runner.parent import warn_of_trained_images
from semisup.runner.probe import check_one_process, run_probe
from semisup.runner.progress import Bars
from semisup.runner.result import RunResult, record_early_failure, run_folder, traceback_tail
from semisup.runner.shared_start import SharedStartSession
from semisup.runner.signals import StopHandler, StopRequested
from semisup.runner.weights import check_weights_unchanged
from semisup.runtime.determinism import keep_freed_memory
from semisup.runtime.distributed import Team, process_group
from semisup.runtime.precision import configure_torch
from semisup.runtime.secrets import redact
from semisup.runtime.torchrun_env import is_rank_zero
from semisup.tracking import Tracker
from semisup.training.loop import train
from semisup.training.state import State, TrainingData, restore, start

WAIT_SECONDS = 0.5

RESUMABLE = (StepEnd, EpochEnd, BurnInEnd)
"""Events after which the state can be saved and the training resumed."""


def run(
    run_config: RunConfig,
    bars: Bars,
    *,
    in_sweep: bool,
    reproduces: Path | None = None,
    rung: RungScore | None = None,
) -> RunResult:
    """Train one run, or reuse the run if it is finished. Errors are not raised, but returned in the result.

    The states from which the run could resume are deleted when it is finished.

    Args:
        in_sweep: whether the run is part of a sweep; then it can share the start of its training with other runs.
        reproduces: the run directory or config.yaml that the run reproduces; None if it is not a reproduction.
        rung: the step at which the run is stopped and compared with other runs (for the sweeper `halving`); None =
            train to the end.
    """
    stop = StopHandler()
    result = _run_to_result(run_config, bars, stop, reproduces, in_sweep=in_sweep, rung=rung)
    if in_sweep:
        result = replace(result, error=None)  # its traceback would keep the data of the run in memory
    if stop.asked is not None and not result.by:  # it came after the last step, or with a failure
        result = replace(result, by=stop.asked.by)
    if result.status == RunStatus.DONE and is_rank_zero():
        delete_finished_states(result.folder)
    return result


def _run_to_result(
    run_config: RunConfig,
    bars: Bars,
    stop: StopHandler,
    reproduces: Path | None,
    *,
    in_sweep: bool,
    rung: RungScore | None,
) -> RunResult:
    folder = run_folder(run_config)
    try:
        check_output_root(run_config.run.output_root)
        check_one_process(run_config)
        with stop, process_group(run_config.run.device) as team:
            if not is_rank_zero():
                trained = run_follower(run_config, lambda: load_data(run_config, bars), bars, stop, team)
                return RunResult(folder, RunStatus.DONE, kept=not trained)
            if is_finished(folder):
                return _reuse_finished(run_config, folder, bars)
            check_weights_unchanged(run_config, folder)
            return _train(run_config, folder, bars, stop, team, reproduces, in_sweep=in_sweep, rung=rung)
    except StoppedAtRungError as error:
        return RunResult(folder, RunStatus.STOPPED, message=str(error))
    except FinishedError:
        return RunResult(folder, RunStatus.DONE, read_json(folder / "summary.json"), kept=True)
    except LockLostError as error:  # the directory is another process's now: nothing may be written into it
        return RunResult(folder, RunStatus.REFUSED, message=str(error), error=error)
    except InUseError as error:
        return RunResult(folder, RunStatus.IN_USE, message=str(error), error=error)
    except (SettingError, DataError, RecordError) as error:
        message = "; ".join([str(error), *getattr(error, "__notes__", ())])
        result = RunResult(folder, RunStatus.REFUSED, message=message, error=error)
    except DivergedError as error:
        result = RunResult(folder, RunStatus.DIVERGED, message=str(error), error=error)
    except CollapsedError as error:
        result = RunResult(folder, RunStatus.COLLAPSED, message=str(error), error=error)
    except (StopRequested, KeyboardInterrupt) as error:
        code, by = (error.code, error.by) if isinstance(error, StopRequested) else (130, "SIGINT")
        return RunResult(
            folder, RunStatus.INTERRUPTED, message="stopped; type the same command again to continue", code=code, by=by
        )
    except SystemExit as error:
        result = RunResult(
            folder,
            RunStatus.FAILED,
            message=f"the training called sys.exit({error.code!r})",
            last_lines=traceback_tail(),
        )
    except (InsufficientMemoryError, OSError) as error:
        result = RunResult(folder, RunStatus.FAILED, message=str(error), last_lines=traceback_tail(), error=error)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        message = redact(f"{type(error).__name__}: {error}")
        result = RunResult(folder, RunStatus.FAILED, message=message, last_lines=traceback_tail(), error=error)
    if in_sweep and not (folder / "run.json").exists():
        record_early_failure(run_config, result)
    return result


def run_or_wait(run_config: RunConfig, bars: Bars, rung: RungScore | None = None) -> RunResult:
    """Train a run of a sweep, or reuse it if it is finished. If another process is training it, wait until that ends.

    Args:
        rung: as in `run`.
    """
    while (result := run(run_config, bars, in_sweep=True, rung=rung)).status == RunStatus.IN_USE:
        time.sleep(WAIT_SECONDS)
        while _is_in_use(result.folder):  # `run` would read settings, data and the state of the checkout again
            time.sleep(WAIT_SECONDS)
    return result


def _is_in_use(folder: Path) -> bool:
    try:
        RunLock(folder).check()
    except InUseError:
        return True
    return False


def _reuse_finished(run_config: RunConfig, folder: Path, bars: Bars) -> RunResult:
    """Return the result of a run that was finished before, after a check of its data set.

    Raises:
        DataError: the data set has changed since the run was trained.
    """
    if run_config.elsewhere:  # trained on another machine, whose device need not exist here
        data = run_config.dataset.read(run_config.dataset.inspect(), bars.watch)
    else:
        _, data = load_data(run_config, bars)
    dataset = (read_json(folder / "run.json") or {}).get("dataset") or {}
    if dataset.get("fingerprint") != data.fingerprint:
        raise DataError(f"{folder}: {OTHER_DATA}")
    return RunResult(folder, RunStatus.DONE, read_json(folder / "summary.json"), kept=True)


def _train(
    run_config: RunConfig,
    folder: Path,
    bars: Bars,
    stop: StopHandler,
    team: Team,
    reproduces: Path | None,
    *,
    in_sweep: bool,
    rung: RungScore | None,
) -> RunResult:
    configure_torch(run_config.run.threads, deterministic=run_config.run.deterministic)
    keep_freed_memory()
    with (
        RunWriter(folder, run_config.config, initial_metadata(run_config, reproduces), git_diff()) as record,
        translate_oom(run_config),
    ):
        problem, data = load_data(run_config, bars)
        warn_of_trained_images(run_config, data)
        warn_of_other_classes(data, rejects=isinstance(run_config.settings.reject, Reject))
        if run_config.config["dataset"].get("imbalance", 1) == 1:
            warn_of_single_images(data)
        run_config, problem, features = encode_run(run_config, problem, data, bars)
        began = time.monotonic()
        check_same_features((record.before.get("dataset") or {}).get("features"), features, folder)
        record.set_dataset(dataset_metadata(data, features), data.report, data.unlabeled.paths)
        if run_config.probe.classifier is not None:
            summary = _fit_probe(run_config, (problem, data), record, reproduces)
            return RunResult(folder, RunStatus.DONE, summary, seconds=time.monotonic() - began)
        state = start(problem, run_config.settings)
        snapshot = record.resume()
        broadcast_start(team, stop, data.fingerprint, snapshot)
        if snapshot is not None:
            check_snapshot(folder / "checkpoints", snapshot, state.student.state_dict())
            restore(state, snapshot)
        with SharedStartSession(run_config, data, record, wanted=in_sweep and run_config.sweep.share_start) as sharing:
            state = sharing.initial_state(problem, state)
            tracker, summary = _open_tracker(run_config, folder, reproduces), {}
            try:
                of = problem, data, state
                summary = _train_and_record(run_config, of, record, tracker, bars, stop, sharing, rung)
            finally:
                close_tracker(tracker, summary)
                bars.end()
    seconds = time.monotonic() - began
    return RunResult(folder, RunStatus.DONE, summary, shared_start=record.about.get("shared_start"), seconds=seconds)


def _fit_probe(
    run_config: RunConfig, of: tuple[TrainingData, Data], record: RunWriter, reproduces: Path | None
) -> dict[str, Any]:
    record.resume()  # which empties the logs: a probe is saved before it logs anything
    summary: dict[str, Any] = {}
    tracker = _open_tracker(run_config, record.folder, reproduces)
    try:
        summary = run_probe(run_config, *of, record, tracker)
    finally:
        close_tracker(tracker, summary)
    return summary


def _open_tracker(run_config: RunConfig, folder: Path, reproduces: Path | None) -> Tracker:
    info = wandb_info(run_config.config, run_config.id, folder.parent.parent, job_type(reproduces))
    tracker: Tracker = run_config.tracking.open(info)
    return tracker


def _train_and_record(
    run_config: RunConfig,
    of: tuple[TrainingData, Data, State],
    record: RunWriter,
    tracker: Tracker,
    bars: Bars,
    stop: StopHandler,
    sharing: SharedStartSession,
    rung: RungScore | None,
) -> dict[str, Any]:
    """Train a run: write and display every event, and save checkpoints.

    Args:
        of: the data on the run's device, the data as read, and the initial state.
        rung: with the sweeper `halving`, the point of the training at which the run stops and is scored; None = the run
            is trained to the end.

    Returns:
        The summary of the run.

    Raises:
        StoppedAtRungError: the run has reached this point, and its state is saved.
    """
    settings, (problem, data, state) = run_config.settings, of
    rows = record.read_metrics()
    for row in rows:
        tracker.row(row)
    if rung is not None and rung.add(rows).step is not None:  # in the start that the run shares with other runs
        _save(run_config, state, record)
        raise StoppedAtRungError(rung.step or state.step)
    bars.begin(run_config.id, settings.train)
    watch = CollapseWatch(run_config.collapse, run_config.id, data.classes, problem.judged_by)
    reject_watch = RejectWatch(settings.reject, run_config.id)
    stop.wait = True
    events = train(problem, settings, state)
    for event in events:
        record.write_event(event)
        bars.add(event, settings.train)
        if event.row() is not None:
            tracker.row(event.row() or {})
        watch.on_event(event)
        reject_watch.on_event(event)
        sharing.on_event(event, state)
        if isinstance(event, Finished):
            _save(run_config, state, record)
            return finish_run(run_config, data, record, tracker, event)
        sync_stop(stop, event)
        if isinstance(event, Progress) and stop.asked is not None:
            events.close()  # after which training can resume from the state
        _save_if_due(run_config, event, state, record, stop)
        if rung is not None:
            _stop_at_rung(run_config, event, state, record, rung)
    raise AssertionError("training must end with a Finished event")


def _save_if_due(run_config: RunConfig, event: Event, state: State, record: RunWriter, stop: StopHandler) -> None:
    if not isinstance(event, SAFE_STOP_EVENTS) or (isinstance(event, Progress) and stop.asked is None):
        return
    wanted = run_config.checkpoint
    due = isinstance(event, StepEnd) and wanted.every_steps is not None and event.step % wanted.every_steps == 0
    late = record.seconds_since_save() >= wanted.every_seconds
    if due or late or stop.asked is not None:
        _save(run_config, state, record)
    if stop.asked is not None:
        raise stop.asked


def _stop_at_rung(run_config: RunConfig, event: Event, state: State, record: RunWriter, rung: RungScore) -> None:
    """Save the state and raise StoppedAtRungError if the run has reached `rung` and could resume from this point."""
    row = event.row()
    rung.add([] if row is None else [row])
    if rung.step is not None and isinstance(event, RESUMABLE):
        _save(run_config, state, record)
        raise StoppedAtRungError(rung.step)


def _save(run_config: RunConfig, state: State, record: RunWriter) -> None:
    with translate_oom(run_config, saving):
        record.save(state.snapshot())
