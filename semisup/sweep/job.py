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
    side_by_side = concurrent_runs(HydraConfig.get().launcher)
    os.environ[CONCURRENT_RUNS] = str(side_by_side)
    if side_by_side > 1:
        assign_gpu(str(config.device))
    sys.argv = ["semisup", "train", *HydraConfig.get().overrides.task]  # what run.json calls the command of this run
    name = f"{int(os.environ[NUMBER] if NUMBER in os.environ else HydraConfig.get().job.num):05d}"
    ledger = JobStore(Path(HydraConfig.get().sweep.dir))
    if (status := _status(ledger, name)) not in ("running", "interrupted", "done"):
        return None  # by a process that died after it
    if (halted := ledger.halted()) == STOPPED:
        ledger.wait_for_others()
        raise KeyboardInterrupt
    try:
        checked = resolve_auto(config)
    except SettingError as error:
        ledger.note(name, RunResult(Path(), "refused", message=str(error)))
        return None
    folder = run_folder(checked)
    if halted is not None and status != "done":
        ledger.note(name, RunResult(folder, "skipped", message=f"not started: {halted}"))
        return None
    with Bars() as bars:
        if status == "done":  # by one that died, or was queued again, at what comes after it
            outcome = RunResult(folder, "done", read_json(folder / "summary.json"))
        else:
            outcome = _run_and_store(ledger, name, checked, bars)
            safe_print(_line(outcome))
            if outcome.status == "done" and (why := explain_unused(checked, folder, outcome.summary or {})):
                safe_print(f"{'':<12}{why}")
            _stop_if_requested(ledger, outcome)
        if outcome.status == "done" and _has_references(checked):
            for kind, plain in reference_configs(checked.plain, outcome.summary or {}).items():
                of_both = f"{name}-{kind}"
                if ledger.halted() or _status(ledger, of_both) not in ("running", "interrupted"):
                    continue
                try:
                    _stop_if_requested(ledger, _run_and_store(ledger, of_both, reusable_or_local(plain), bars))
                except SettingError as error:
                    ledger.note(of_both, RunResult(Path(), "refused", message=str(error)))
    return (outcome.summary or {}).get("best/val/accuracy")


def _status(ledger: JobStore, name: str) -> str:
    return str((ledger.entry(name) or {"status": "running"})["status"])


def _has_references(checked: "RunConfig") -> bool:
    """Whether the run gets a control and a baseline, which are runs on labels alone, and get none."""
    return checked.sweep.control and checked.settings.method.uses_unlabeled


def _run_and_store(ledger: JobStore, name: str, checked: "RunConfig", bars: "Bars") -> "RunResult":
    """A run of the sweep, or a companion, whose entry says what is becoming of it."""
    from semisup.runner.result import RunResult, run_folder
    from semisup.runner.run import run_or_wait

    compared = _has_references(checked)
    ledger.note(name, RunResult(run_folder(checked), "running", message="it is in progress"), compared=compared)
    outcome = run_or_wait(checked, bars)
    if checked.sweep.fail_fast and outcome.status not in ("done", "interrupted"):
        ledger.halt(FAIL_FAST, job=name, status=outcome.status)
    ledger.note(name, outcome, compared=compared)
    return outcome


def _stop_if_requested(ledger: JobStore, outcome: "RunResult") -> None:
    """What stopped a run, or came too late to, stops the sweep, when all its runs have saved; a launcher that listens
    for it is told first: submitit's queues this one again."""
    from semisup.runner.signals import forward_signal

    if outcome.by:
        if ledger.halted() == STOPPED:
            ledger.wait_for_others()
        forward_signal(outcome.by)
        raise KeyboardInterrupt


def _line(outcome: "RunResult") -> str:
    accuracy = (outcome.summary or {}).get("best/val/accuracy")
    said = "kept" if outcome.kept else outcome.status
    return f"{said:<12}{outcome.folder.name}" + (f"  validation {accuracy:.3f}" if accuracy is not None else "")
