"""One job of a sweep, in whatever process the launcher chose: its run, and those that it is to be compared with.

What becomes of it goes into the sweep's ledger, under the job's number: which run it is, the job alone can say, for
what `auto` means is up to the machine that it is on.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from semisup.config.controls import reference_configs
from semisup.config.resolvers import concurrent_runs
from semisup.errors import SettingError
from semisup.runtime.memory_limit import CONCURRENT_RUNS
from semisup.sweep.gpu_assignment import assign_gpu
from semisup.sweep.job_store import FAIL_FAST, STOPPED, JobStore
from semisup.sweep.redacted_config import redact_saved_files

if TYPE_CHECKING:
    from semisup.config.schema import RunConfig
    from semisup.runner.progress import Bars
    from semisup.runner.result import RunResult

NUMBER = "SEMISUP_JOB"  # in the environment: the number in our sweep of what is a single run to Hydra


def job(config: DictConfig) -> float | None:
    """One member of a sweep; its value is the validation accuracy."""
    from semisup.analysis.diagnosis import explain_unused
    from semisup.record.reader import read_json
    from semisup.report.console import safe_print, short_warnings
    from semisup.runner.progress import Bars
    from semisup.runner.resolve_auto import resolve_auto, reusable_or_local
    from semisup.runner.result import RunResult, run_folder

    short_warnings()
    if (inner := HydraConfig.get().output_subdir) is not None:
        redact_saved_files(Path(HydraConfig.get().runtime.output_dir) / inner)
    side_by_side = concurrent_runs(HydraConfig.get().launcher)
    os.environ[CONCURRENT_RUNS] = str(side_by_side)
    if side_by_side > 1:
        assign_gpu(str(config.device))
    sys.argv = ["semisup", "train", *HydraConfig.get().overrides.task]  # what run.json calls the command of this run
    name = f"{int(os.environ[NUMBER] if NUMBER in os.environ else HydraConfig.get().job.num):05d}"
    store = JobStore(Path(HydraConfig.get().sweep.dir))
    if (status := _status(store, name)) not in ("running", "interrupted", "done"):
        return None  # by a process that died after it
    if (halted := store.halted()) == STOPPED:
        store.wait_for_others()
        raise KeyboardInterrupt
    try:
        run_config = resolve_auto(config)
    except SettingError as error:
        store.note(name, RunResult(Path(), "refused", message=str(error)))
        return None
    folder = run_folder(run_config)
    if halted is not None and status != "done":
        store.note(name, RunResult(folder, "skipped", message=f"not started: {halted}"))
        return None
    with Bars() as bars:
        if status == "done":  # by one that died, or was queued again, at what comes after it
            result = RunResult(folder, "done", read_json(folder / "summary.json"))
        else:
            result = _run_and_store(store, name, run_config, bars)
            safe_print(_line(result))
            if result.status == "done" and (why := explain_unused(run_config, folder, result.summary or {})):
                safe_print(f"{'':<12}{why}")
            _stop_if_requested(store, result)
        if result.status == "done" and _has_references(run_config):
            for kind, plain in reference_configs(run_config.config, result.summary or {}).items():
                of_both = f"{name}-{kind}"
                if store.halted() or _status(store, of_both) not in ("running", "interrupted"):
                    continue
                try:
                    _stop_if_requested(store, _run_and_store(store, of_both, reusable_or_local(plain), bars))
                except SettingError as error:
                    store.note(of_both, RunResult(Path(), "refused", message=str(error)))
    return (result.summary or {}).get("best/val/accuracy")


def _status(store: JobStore, name: str) -> str:
    return str((store.entry(name) or {"status": "running"})["status"])


def _has_references(run_config: "RunConfig") -> bool:
    """Whether the run gets a control and a baseline, which are runs on labels alone, and get none."""
    return run_config.sweep.control and run_config.settings.method.uses_unlabeled


def _run_and_store(store: JobStore, name: str, run_config: "RunConfig", bars: "Bars") -> "RunResult":
    """A run of the sweep, or a companion, whose entry says what is becoming of it."""
    from semisup.runner.result import RunResult, run_folder
    from semisup.runner.run import run_or_wait

    compared = _has_references(run_config)
    store.note(name, RunResult(run_folder(run_config), "running", message="it is in progress"), compared=compared)
    result = run_or_wait(run_config, bars)
    if run_config.sweep.fail_fast and result.status not in ("done", "interrupted"):
        store.halt(FAIL_FAST, job=name, status=result.status)
    store.note(name, result, compared=compared)
    return result


def _stop_if_requested(store: JobStore, result: "RunResult") -> None:
    """What stopped a run, or came too late to, stops the sweep, when all its runs have saved; a launcher that listens
    for it is told first: submitit's queues this one again."""
    from semisup.runner.signals import forward_signal

    if result.by:
        if store.halted() == STOPPED:
            store.wait_for_others()
        forward_signal(result.by)
        raise KeyboardInterrupt


def _line(result: "RunResult") -> str:
    accuracy = (result.summary or {}).get("best/val/accuracy")
    said = "kept" if result.kept else result.status
    return f"{said:<12}{result.folder.name}" + (f"  validation {accuracy:.3f}" if accuracy is not None else "")
