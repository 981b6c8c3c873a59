"""One run, from checked settings to a finished folder: where computing, writing and showing meet."""

import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from semisup.config.schema import Checked
from semisup.core.events import Event, Finished, Progress, Row, StepDone
from semisup.dataset import SPLITS, Data, Dataset
from semisup.errors import (
    CollapsedError,
    DataError,
    DivergedError,
    FinishedError,
    InUseError,
    RecordError,
    SettingError,
    ShortOfMemoryError,
)
from semisup.record import is_finished
from semisup.record.environment import uncommitted
from semisup.record.reader import read_json
from semisup.record.writer import OTHER_DATA, RunRecord
from semisup.runner import compatibility
from semisup.runner.collapse import CollapseWatch
from semisup.runner.distributed_run import PLACES, agree, begin, follow
from semisup.runner.metadata import about, described, identity_of
from semisup.runner.out_of_memory import reading, saving, told_of_memory
from semisup.runner.progress import Bars
from semisup.runner.result import EXIT, Outcome, folder_of, last_lines, note_failure
from semisup.runner.shared_start import Sharing
from semisup.runner.signals import Stop, StoppedError
from semisup.runtime.determinism import keep_memory
from semisup.runtime.distributed import Team, together
from semisup.runtime.precision import set_up
from semisup.runtime.secrets import hidden
from semisup.runtime.torchrun_env import leads
from semisup.tracking import Mirror
from semisup.training.loop import train
from semisup.training.state import Problem, State, restore, start

WAIT_SECONDS = 0.5


def run(checked: Checked, bars: Bars, *, of_a_sweep: bool, job_type: str = "train") -> Outcome:
    """Do one run, or find it done. What goes wrong is an Outcome; in a sweep it is also a row on disk.

    `job_type` is what W&B calls it.
    """
    stop = Stop()
    outcome = _outcome(checked, bars, stop, job_type, of_a_sweep=of_a_sweep)
    if stop.asked is not None and not outcome.by:  # it came when the last step was made, or with a failure
        outcome = replace(outcome, by=stop.asked.by)
    return outcome


def _outcome(checked: Checked, bars: Bars, stop: Stop, job_type: str, *, of_a_sweep: bool) -> Outcome:
    folder = folder_of(checked)
    try:
        with stop, together(checked.run.device) as team:
            if not leads():
                trained = follow(checked, lambda: _load(checked, bars), stop, team)
                return Outcome(folder, "done", kept=not trained)
            if is_finished(folder):
                return _kept(checked, folder, bars)
            return _train(checked, folder, bars, stop, team, job_type, of_a_sweep=of_a_sweep)
    except FinishedError:
        return Outcome(folder, "done", read_json(folder / "summary.json"), kept=True)
    except InUseError as error:
        return Outcome(folder, "in use", message=str(error))
    except (SettingError, DataError, RecordError) as error:
        outcome = Outcome(folder, "refused", message="; ".join([str(error), *getattr(error, "__notes__", ())]))
    except DivergedError as error:
        outcome = Outcome(folder, "diverged", message=str(error))
    except CollapsedError as error:
        outcome = Outcome(folder, "collapsed", message=str(error))
    except (StoppedError, KeyboardInterrupt) as error:
        code, by = (error.code, error.by) if isinstance(error, StoppedError) else (130, "SIGINT")
        return Outcome(folder, "interrupted", message="stopped; the same command continues", code=code, by=by)
    except SystemExit as error:
        outcome = Outcome(folder, "failed", message=f"it called sys.exit({error.code!r})", last_lines=last_lines())
    except (ShortOfMemoryError, OSError) as error:
        outcome = Outcome(folder, "failed", message=str(error), last_lines=last_lines())
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        outcome = Outcome(folder, "failed", message=hidden(f"{type(error).__name__}: {error}"), last_lines=last_lines())
    if of_a_sweep and not (folder / "run.json").exists():
        note_failure(checked, outcome)
    return outcome


def run_or_wait(checked: Checked, bars: Bars) -> Outcome:
    """As `run`, for a member of a sweep or its control: where another job is at it, wait and take its result."""
    while (outcome := run(checked, bars, of_a_sweep=True)).status == "in use":
        time.sleep(WAIT_SECONDS)
    return outcome


def _kept(checked: Checked, folder: Path, bars: Bars) -> Outcome:
    """A run that was finished before, if it was made of the same data."""
    if checked.elsewhere:  # for its device, which need not be here
        data = checked.dataset.read(checked.dataset.survey(), bars.watch)
    else:
        _, data = _load(checked, bars)
    dataset = (read_json(folder / "run.json") or {}).get("dataset") or {}
    if dataset.get("fingerprint") != data.fingerprint:
        raise DataError(f"{folder}: {OTHER_DATA}")
    return Outcome(folder, "done", read_json(folder / "summary.json"), kept=True)


_loaded: dict[tuple[Dataset, str], tuple[Problem, Data]] = {}
"""The data of the last run: members of a sweep mostly want the same."""


def _load(checked: Checked, bars: Bars) -> tuple[Problem, Data]:
    key = (checked.dataset, checked.run.device)
    if key not in _loaded:
        _loaded.clear()  # before the next is read, so that memory holds one
        survey = checked.dataset.survey()
        compatibility.fit(checked, survey.classes, survey.counts, survey.channels)
        with told_of_memory(checked, reading):
            data = checked.dataset.read(survey, bars.watch)
            _loaded[key] = compatibility.made(checked, data), data
    problem, data = _loaded[key]
    counts = {split: len(getattr(data, split)) for split in SPLITS}
    compatibility.fit(checked, data.classes, counts, data.labeled.pixels.shape[1])
    return problem, data


def _train(
    checked: Checked, folder: Path, bars: Bars, stop: Stop, team: Team, job_type: str, *, of_a_sweep: bool
) -> Outcome:
    set_up(checked.run.threads, deterministic=checked.run.deterministic)
    keep_memory()
    with RunRecord(folder, checked.plain, about(checked, job_type), uncommitted()) as record, told_of_memory(checked):
        problem, data = _load(checked, bars)
        record.describe(described(data), data.report, data.unlabeled.paths)
        state = start(problem, checked.settings)
        snapshot = record.resume()
        begin(team, stop, data.fingerprint, snapshot)
        if snapshot is not None:
            restore(state, snapshot)
        with Sharing(checked, data, record, wanted=of_a_sweep and checked.sweep.share_start) as sharing:
            state = sharing.begun(problem, state)
            mirror = checked.tracking.open(identity_of(checked.plain, checked.id, folder.parent.parent, job_type))
            summary: dict[str, Any] = {}
            try:
                summary = _record_all(checked, (problem, data, state), record, mirror, bars, stop, sharing)
            finally:
                flat = {name: value for name, value in summary.items() if not isinstance(value, dict)}
                mirror.close(flat, EXIT["done"] if summary else EXIT["failed"])
                bars.end()
    return Outcome(folder, "done", summary, shared_start=record.about.get("shared_start"))


def _record_all(
    checked: Checked,
    of: tuple[Problem, Data, State],
    record: RunRecord,
    mirror: Mirror,
    bars: Bars,
    stop: Stop,
    sharing: Sharing,
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
            return _end(checked, data, record, mirror, event)
        agree(stop, event)
        if isinstance(event, Progress) and stop.asked is not None:
            events.close()  # which leaves the state whole
        _save_if_due(checked, event, state, record, stop)
    raise AssertionError("a training ends with Finished")


def _save_if_due(checked: Checked, event: Event, state: State, record: RunRecord, stop: Stop) -> None:
    if not isinstance(event, PLACES) or (isinstance(event, Progress) and stop.asked is None):
        return
    wanted = checked.checkpoint
    due = isinstance(event, StepDone) and wanted.every_steps is not None and event.step % wanted.every_steps == 0
    late = record.seconds_since_save() >= wanted.every_seconds
    if due or late or stop.asked is not None:
        _save(checked, state, record)
    if stop.asked is not None:
        raise stop.asked


def _save(checked: Checked, state: State, record: RunRecord) -> None:
    with told_of_memory(checked, saving):
        record.save(state.snapshot())


def _end(checked: Checked, data: Data, record: RunRecord, mirror: Mirror, event: Finished) -> dict[str, Any]:
    last = record.last_round() if checked.run.plots or mirror.wanted_thumbnails else []
    gate = checked.plain["method"].get("gate")  # of methods that label by rounds
    plots: dict[str, Path] = {}
    if checked.run.plots or (last and mirror.wanted_thumbnails):
        from semisup.report.run_plots import draw_run, surest_and_least_sure  # matplotlib, 0.4 s: only where it draws
    if checked.run.plots:
        plots = draw_run(record.folder, record.rows(), event, last, record.curves(), data, gate)
    summary = record.finish(replace(event, summary=event.summary | _pseudo_labels(record.rows())), sorted(plots))
    mirror.plots(plots)
    if last and mirror.wanted_thumbnails:
        mirror.thumbnails("pseudo_labels", *surest_and_least_sure(last, data, mirror.wanted_thumbnails))
    return summary


def _pseudo_labels(rows: list[Row]) -> Row:
    """What became of the unlabeled images in the end: round, coverage and, where known, accuracy; {} if unasked."""
    asked = [row for row in rows if "pseudo/coverage" in row]
    names = ("pseudo/round", "pseudo/coverage", "pseudo/accuracy")
    return {name: asked[-1][name] for name in names if name in asked[-1]} if asked else {}
