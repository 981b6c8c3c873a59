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

from semisup.config.controls import companions
from semisup.config.resolvers import at_once
from semisup.errors import SettingError
from semisup.runtime.memory_limit import SIDE_BY_SIDE
from semisup.sweep.gpu_assignment import settle
from semisup.sweep.job_store import FAIL_FAST, STOPPED, Ledger

if TYPE_CHECKING:
    from semisup.config.schema import Checked
    from semisup.runner.progress import Bars
    from semisup.runner.result import Outcome

NUMBER = "SEMISUP_JOB"  # in the environment: the number in our sweep of what is a single run to Hydra


def job(config: DictConfig) -> float | None:
    """One member of a sweep; its value is the validation accuracy."""
    from semisup.analysis.diagnosis import why_unused
    from semisup.record.reader import read_json
    from semisup.report.console import quietly, say
    from semisup.runner.progress import Bars
    from semisup.runner.resolve_auto import as_begun, kept_or_for_here
    from semisup.runner.result import Outcome, folder_of

    quietly()
    side_by_side = at_once(HydraConfig.get().launcher)
    os.environ[SIDE_BY_SIDE] = str(side_by_side)
    if side_by_side > 1:
        settle(str(config.device))
    sys.argv = ["semisup", "train", *HydraConfig.get().overrides.task]  # what run.json calls the command of this run
    name = f"{int(os.environ[NUMBER] if NUMBER in os.environ else HydraConfig.get().job.num):05d}"
    ledger = Ledger(Path(HydraConfig.get().sweep.dir))
    if (status := _status(ledger, name)) not in ("running", "interrupted", "done"):
        return None  # by a process that died after it
    if (halted := ledger.halted()) == STOPPED:
        ledger.wait_for_others()
        raise KeyboardInterrupt
    try:
        checked = as_begun(config)
    except SettingError as error:
        ledger.note(name, Outcome(Path(), "refused", message=str(error)))
        return None
    folder = folder_of(checked)
    if halted is not None and status != "done":
        ledger.note(name, Outcome(folder, "skipped", message=f"not started: {halted}"))
        return None
    with Bars() as bars:
        if status == "done":  # by one that died, or was queued again, at what comes after it
            outcome = Outcome(folder, "done", read_json(folder / "summary.json"))
        else:
            outcome = _noted(ledger, name, checked, bars)
            say(_line(outcome))
            if outcome.status == "done" and (why := why_unused(checked, folder, outcome.summary or {})):
                say(f"{'':<12}{why}")
            _stop_if_asked(ledger, outcome)
        if outcome.status == "done" and _compared(checked):
            for kind, plain in companions(checked.plain, outcome.summary or {}).items():
                of_both = f"{name}-{kind}"
                if ledger.halted() or _status(ledger, of_both) not in ("running", "interrupted"):
                    continue
                try:
                    _stop_if_asked(ledger, _noted(ledger, of_both, kept_or_for_here(plain), bars))
                except SettingError as error:
                    ledger.note(of_both, Outcome(Path(), "refused", message=str(error)))
    return (outcome.summary or {}).get("best/val/accuracy")


def _status(ledger: Ledger, name: str) -> str:
    return str((ledger.entry(name) or {"status": "running"})["status"])


def _compared(checked: "Checked") -> bool:
    """Whether the run gets a control and a baseline, which are runs on labels alone, and get none."""
    return checked.sweep.control and checked.settings.method.uses_unlabeled


def _noted(ledger: Ledger, name: str, checked: "Checked", bars: "Bars") -> "Outcome":
    """A run of the sweep, or a companion, whose entry says what is becoming of it."""
    from semisup.runner.result import Outcome, folder_of
    from semisup.runner.run import run_or_wait

    compared = _compared(checked)
    ledger.note(name, Outcome(folder_of(checked), "running", message="it is in progress"), compared=compared)
    outcome = run_or_wait(checked, bars)
    if checked.sweep.fail_fast and outcome.status not in ("done", "interrupted"):
        ledger.halt(FAIL_FAST, job=name, status=outcome.status)
    ledger.note(name, outcome, compared=compared)
    return outcome


def _stop_if_asked(ledger: Ledger, outcome: "Outcome") -> None:
    """What stopped a run, or came too late to, stops the sweep, when all its runs have saved; a launcher that listens
    for it is told first: submitit's queues this one again."""
    from semisup.runner.signals import hand_on

    if outcome.by:
        if ledger.halted() == STOPPED:
            ledger.wait_for_others()
        hand_on(outcome.by)
        raise KeyboardInterrupt


def _line(outcome: "Outcome") -> str:
    accuracy = (outcome.summary or {}).get("best/val/accuracy")
    said = "kept" if outcome.kept else outcome.status
    return f"{said:<12}{outcome.folder.name}" + (f"  validation {accuracy:.3f}" if accuracy is not None else "")
