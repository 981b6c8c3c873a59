"""Run one job of a sweep: train its run, and then the reference runs with which this run is compared.

The result is recorded in the sweep's folder under the number of the job.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from semisup.config.compose import delete_keys
from semisup.config.controls import reference_configs, reference_kinds
from semisup.config.resolvers import concurrent_runs
from semisup.errors import SettingError, StoppedAtRungError
from semisup.record.status import RunStatus
from semisup.runtime.memory_limit import CONCURRENT_RUNS
from semisup.sweep.cost import estimate
from semisup.sweep.gpu_assignment import assign_gpu
from semisup.sweep.halving import has_reached
from semisup.sweep.job_store import FAIL_FAST, STOPPED, TIME_UP, JobStore
from semisup.sweep.redacted_config import redact_saved_files

if TYPE_CHECKING:
    from semisup.config.schema import RunConfig
    from semisup.runner.progress import Bars
    from semisup.runner.result import RunResult

JOB_NUMBER = "SEMISUP_JOB"
"""Environment variable with the number of the job in the sweep, for a job that Hydra runs as a single run."""


def job(config: DictConfig) -> float | None:
    """Run one job of a sweep.

    Args:
        config: the composed config of the job.

    Returns:
        The validation accuracy of its run in [0, 1]; None if it has none.
    """
    from semisup.analysis.diagnosis import explain_unused
    from semisup.record.reader import read_json
    from semisup.report.console import safe_print
    from semisup.runner.progress import Bars
    from semisup.runner.resolve_auto import resolve_auto, reusable_or_local
    from semisup.runner.result import RunResult, run_folder
    from semisup.runtime.warning_lines import short_warnings

    short_warnings()
    if (inner := HydraConfig.get().output_subdir) is not None:
        redact_saved_files(Path(HydraConfig.get().runtime.output_dir) / inner)
    at_a_time = concurrent_runs(HydraConfig.get().launcher)
    os.environ[CONCURRENT_RUNS] = str(at_a_time)
    if at_a_time > 1:
        assign_gpu(str(config.device))
    name = f"{int(os.environ[JOB_NUMBER] if JOB_NUMBER in os.environ else HydraConfig.get().job.num):05d}"
    store = JobStore(Path(HydraConfig.get().sweep.dir))
    deleted = [f"~{key}" for key in delete_keys(config, store.deleted_keys())]
    sys.argv = ["semisup", "train", *HydraConfig.get().overrides.task, *deleted]  # the command in run.json
    if (status := _status(store, name)) not in (RunStatus.RUNNING, RunStatus.INTERRUPTED, RunStatus.DONE):
        return None  # recorded by an earlier process
    if status == RunStatus.RUNNING and store.stop_reason() is None and store.is_time_up():
        store.request_stop(TIME_UP)
    if (stop_reason := store.stop_reason()) == STOPPED:
        store.wait_for_others()
        raise KeyboardInterrupt
    try:
        run_config = resolve_auto(config)
    except SettingError as error:
        store.write_entry(name, RunResult(Path(), RunStatus.REFUSED, message=str(error)))
        return None
    folder = run_folder(run_config)
    if stop_reason is not None and status != RunStatus.DONE:
        store.write_entry(name, RunResult(folder, RunStatus.SKIPPED, message=f"not started: {stop_reason}"))
        return None
    rung = store.rung() or {}
    share: float | None = rung.get("share")
    with Bars() as bars:
        if status == RunStatus.DONE:  # by a process that died, or was queued again, during the reference runs
            result = RunResult(folder, RunStatus.DONE, read_json(folder / "summary.json"))
        else:
            result = _run_and_store(store, name, run_config, bars, share)
            safe_print(_line(result))
            if result.status == RunStatus.DONE and (reason := explain_unused(run_config, folder, result.summary or {})):
                safe_print(f"{'':<12}{reason}")
            _stop_if_requested(store, result)
        if result.status == RunStatus.DONE and _has_references(run_config) and share is None:
            for kind, reference in reference_configs(run_config.config, result.summary or {}).items():
                reference_name = f"{name}-{kind}"
                stopped = store.stop_reason() not in (None, TIME_UP)  # a run without its references is of no use
                if stopped or _status(store, reference_name) not in (RunStatus.RUNNING, RunStatus.INTERRUPTED):
                    continue
                try:
                    run = _run_and_store(store, reference_name, reusable_or_local(reference), bars)
                    _stop_if_requested(store, run)
                except SettingError as error:
                    store.write_entry(reference_name, RunResult(Path(), RunStatus.REFUSED, message=str(error)))
    trained = result.status == RunStatus.DONE and not result.kept
    if trained and not rung and store.is_first_trained():  # only then, because reading all entries takes 33 us for each
        jobs = len(store.plan() or [])
        if jobs and (line := estimate(store.entries(), name, jobs, at_a_time)):
            safe_print(line)
    return (result.summary or {}).get("best/val/accuracy")


def _status(store: JobStore, name: str) -> str:
    return str((store.entry(name) or {"status": RunStatus.RUNNING})["status"])


def _has_references(run_config: "RunConfig") -> bool:
    """Whether reference runs are trained for a run.

    Reference runs train on labels only, for comparison. They are not trained with sweep.control=false, for a run on
    labels only, and for a run on labeled and validation images together (`train.refit=true`).
    """
    settings = run_config.settings
    return run_config.sweep.control and settings.method.uses_unlabeled and not settings.train.refit


def _run_and_store(
    store: JobStore, name: str, run_config: "RunConfig", bars: "Bars", share: float | None = None
) -> "RunResult":
    """Train a run of the sweep or a reference run, and record its state before and after the training.

    Args:
        name: name under which the state is recorded, such as 00003 or 00003-control.
        share: share of the training after which the run stops, with the sweeper `halving`; None = train to the end.

    Raises:
        KeyboardInterrupt: the sweep was stopped before the run started.
    """
    from semisup.record import is_finished
    from semisup.record.rung import RungScore
    from semisup.runner.result import RunResult, run_folder
    from semisup.runner.run import run_or_wait

    references = reference_kinds(run_config.config) if _has_references(run_config) and share is None else []
    folder, train = run_folder(run_config), run_config.config["train"]
    store.write_entry(name, RunResult(folder, RunStatus.RUNNING, message="it is in progress"), references=references)
    if store.stop_reason() == STOPPED:  # the process that stops the sweep may have listed the running jobs before
        store.delete_entries([name])
        raise KeyboardInterrupt
    if share is not None and not is_finished(folder) and (reached := has_reached(folder, train, share)) is not None:
        message = str(StoppedAtRungError(reached.step or 0))  # by an earlier sweep
        result = RunResult(folder, RunStatus.STOPPED, message=message)
    else:
        result = run_or_wait(run_config, bars, None if share is None else RungScore(train, share))
    if run_config.sweep.fail_fast and result.status not in (RunStatus.DONE, RunStatus.STOPPED, RunStatus.INTERRUPTED):
        store.request_stop(FAIL_FAST, job=name, status=result.status)
    store.write_entry(name, result, references=references)
    return result


def _stop_if_requested(store: JobStore, result: "RunResult") -> None:
    """Raise KeyboardInterrupt if a signal has stopped a run, or was received after its last step.

    Before raising: if the whole sweep is to stop, wait until its other processes on this machine have saved their runs.
    Then call the handler that the launcher has installed for this signal; submitit's handler queues the job again.
    """
    from semisup.runner.signals import forward_signal

    if result.by:
        if store.stop_reason() == STOPPED:
            store.wait_for_others()
        forward_signal(result.by)
        raise KeyboardInterrupt


def _line(result: "RunResult") -> str:
    accuracy = (result.summary or {}).get("best/val/accuracy")
    status = "reused" if result.kept else result.status
    return f"{status:<12}{result.folder.name}" + (f"  validation {accuracy:.3f}" if accuracy is not None else "")
