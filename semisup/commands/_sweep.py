"""A sweep: Hydra's sweeper and launcher run the jobs, each of which writes down what becomes of it."""

import secrets
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from semisup.commands._door import config_folder, with_their_group
from semisup.commands._ledger import HALT, note, report
from semisup.errors import SettingError

if TYPE_CHECKING:
    from semisup.commands._run import Outcome


def with_hydra(words: list[str]) -> None:
    sys.argv = ["semisup train", *words]
    hydra.main(config_path=str(config_folder()), config_name="train", version_base="1.3")(job)()


def job(config: DictConfig) -> float | None:
    """One member of a sweep, in whatever process the launcher chose; its value is the validation accuracy."""
    from semisup import build
    from semisup.commands._progress import Bars
    from semisup.commands._run import Outcome, folder_of, quietly, run_or_wait
    from semisup.companions import companions
    from semisup.record import write_json

    quietly()
    sys.argv = ["semisup", "train", *HydraConfig.get().overrides.task]  # what run.json calls the command of this run
    name, ledger = f"{HydraConfig.get().job.num:05d}", Path(HydraConfig.get().sweep.dir) / "jobs"
    try:
        checked = build.check(config)
    except SettingError as error:
        note(ledger, name, Outcome(Path(), "refused", message=str(error)))
        return None
    halt = ledger.parent / HALT
    if halt.exists():
        note(ledger, name, Outcome(folder_of(checked), "skipped", message="not started: sweep.fail_fast"))
        return None
    note(ledger, name, Outcome(folder_of(checked), "running", message="its process died without a word"))
    with Bars() as bars:
        outcome = run_or_wait(checked, bars)
        if checked.sweep.fail_fast and outcome.status not in ("done", "interrupted"):
            write_json(halt, {"job": int(name), "status": outcome.status})
        note(ledger, name, outcome)
        print(_line(outcome), flush=True)
        if outcome.status == "done" and checked.sweep.control and checked.settings.method.uses_unlabeled:
            for kind, plain in companions(checked.plain, outcome.summary or {}).items():
                other = run_or_wait(build.check(plain), bars)
                note(ledger, f"{name}-{kind}", other)
                _stop_if_asked(other)
    _stop_if_asked(outcome)
    return (outcome.summary or {}).get("best/val/accuracy")


def _stop_if_asked(outcome: "Outcome") -> None:
    """What stopped a run stops the sweep; a launcher that listens for it is told first, as submitit's is."""
    from semisup.commands._signals import hand_on

    if outcome.status == "interrupted":
        hand_on(outcome.by)
        raise KeyboardInterrupt


def _line(outcome: "Outcome") -> str:
    accuracy = (outcome.summary or {}).get("best/val/accuracy")
    said = "kept" if outcome.kept else outcome.status
    return f"{said:<12}{outcome.folder.name}" + (f"  validation {accuracy:.3f}" if accuracy is not None else "")


def sweep(words: list[str], config: DictConfig) -> int:
    """Hand over to Hydra's sweeper, then count what the jobs wrote down: exit codes of launchers say nothing."""
    root = Path(str(config.output_root)).expanduser() / str(config.name)
    chosen = [word.partition("=")[2].strip("'\"") for word in words if word.startswith("hydra.sweep.dir=")]
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"  # two sweeps of one second do not meet
    ledger = Path(chosen[-1]) if chosen else root / "sweeps" / stamp
    own = [] if chosen else [f"hydra.sweep.dir={_quoted(ledger)}"]
    for old in (ledger / HALT, *(ledger / "jobs").glob("*.json")):  # of an earlier sweep in the same chosen folder
        old.unlink(missing_ok=True)
    began, stopped = time.monotonic(), None
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        GlobalHydra.instance().clear()
        with_hydra(["--multirun", *with_their_group(word for word in words if not word.startswith("-")), *own])
    except KeyboardInterrupt:
        stopped = 130
    except SystemExit as error:  # a launcher that died, or SIGTERM between two runs
        stopped = error.code if isinstance(error.code, int) else 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return report(ledger, root, time.monotonic() - began, stopped)


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(75)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
