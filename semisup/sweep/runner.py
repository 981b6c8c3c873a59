"""A sweep: Hydra's sweeper and launcher run the jobs, each of which writes down what becomes of it.

They do so in a child process. A job that ends its process ends that one; what it leaves undone is done by the next.
"""

import contextlib
import functools
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException

from semisup.config.compose import config_folder
from semisup.errors import DataError, SettingError
from semisup.report.console import safe_print
from semisup.runtime.torchrun_env import is_rank_zero, world_size
from semisup.sweep.job import NUMBER, job
from semisup.sweep.job_store import FAIL_FAST, STOPPED, JobStore
from semisup.sweep.preflight import ComposedCommand, bind_group_settings, expected_jobs, job_overrides, validate_command
from semisup.sweep.redacted_config import redacted_hydra_files
from semisup.sweep.summary import exit_status, summarize, summary_lines, write_summary
from semisup.sweep.worker_process import run_in_subprocess

REFUSED = 2


def with_hydra(words: list[str]) -> None:
    sys.argv = ["semisup train", *words]
    GlobalHydra.instance().clear()
    with redacted_hydra_files():
        hydra.main(config_path=str(config_folder()), config_name="train", version_base="1.3")(job)()


def sweep(words: list[str], door: ComposedCommand) -> int:
    """Run the sweep, count what the jobs wrote down, and say it; returns the exit status."""
    if world_size() > 1:
        return _reject_torchrun()
    config = door.config
    root = Path(str(config.output_root)).expanduser() / str(config.name)
    chosen = [word.partition("=")[2].strip("'\"") for word in words if word.startswith("hydra.sweep.dir=")]
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"  # two sweeps of one second do not meet
    store = JobStore(Path(chosen[-1]) if chosen else root / "sweeps" / stamp)
    words = bind_group_settings(words)
    try:
        plan = job_overrides(door, words)
    except HydraException as error:
        print(f"semisup train: {error}", file=sys.stderr)
        return REFUSED
    words += [] if chosen else [f"hydra.sweep.dir={_quoted(store.folder)}"]
    began = time.monotonic()
    attempt = _attempt(lambda: _run_first_pass(words, door, store, plan, stamp), store)
    if store.is_of(stamp):
        stopped = rerun_remaining(attempt, words, door, store)
    elif attempt.code == REFUSED:  # at the door, which has said why
        return REFUSED
    else:  # its process ended before the first job
        store.begin(plan, stamp)
        stopped = attempt.stopped
    summary = summarize(store, expected_jobs(door, plan), time.monotonic() - began)
    write_summary(store.folder, summary)
    where = f"all of it in {store.folder / 'sweep_summary.md'}. Next: semisup compare {root}"
    safe_print("", *summary_lines(summary), f"{summary['seconds']:.0f} s; {where}")
    status = exit_status(summary, stopped)
    if stopped is not None and status:
        safe_print("stopped; the same command continues")
    return status


def _reject_torchrun() -> int:
    """Of torchrun's processes the first one says why there is no sweep; torchrun ends them all when that has ended."""
    if not is_rank_zero():
        time.sleep(2)
        return REFUSED
    error = SettingError("torchrun", world_size(), "processes work at one run; a sweep is hydra/launcher's to spread")
    print(f"semisup train: {error}", file=sys.stderr)
    return REFUSED


class Attempt(NamedTuple):
    """What became of a process that ran jobs.

    code: its exit status, or the negative number of the signal that ended it
    stopped: the exit status of a signal that asked the sweep to stop, or None
    dead: the jobs that it left running
    """

    code: int
    stopped: int | None
    dead: list[str]


def _attempt(work: Callable[[], int], store: JobStore) -> Attempt:
    code, passed = run_in_subprocess(work)
    ended = store.ended()
    stopped = ended["stopped"] if ended else None
    if passed is not None and stopped is None:
        stopped = 130 if passed == signal.SIGINT else 75
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return Attempt(code, stopped, store.bury("a worker of the launcher" if ended else how))


def rerun_remaining(attempt: Attempt, words: list[str], door: ComposedCommand, store: JobStore) -> int | None:
    """Go on after a process that died, as long as that helps; returns the exit status of a signal that said stop."""
    parallel = str(door.config.hydra.runtime.choices["hydra/launcher"]) != "basic"
    fail_fast = bool(door.config.sweep.fail_fast)
    while attempt.stopped is None:
        known = len(store.entries())
        if (
            attempt.dead and parallel and store.plan() is not None
        ):  # one is to blame, and the launcher took the others with it
            suspects = sorted({int(name.partition("-")[0]) for name in attempt.dead})
            store.forget([*attempt.dead, *(f"{number:05d}" for number in suspects)])
            for number in suspects:
                attempt = _attempt(functools.partial(_run_serially, words, store, [number]), store)
                if attempt.stopped is not None:
                    return attempt.stopped
                if fail_fast and attempt.dead:
                    store.halt(FAIL_FAST, job=attempt.dead[0], status="failed")
        elif attempt.dead and fail_fast:
            store.halt(FAIL_FAST, job=attempt.dead[0], status="failed")
        left = store.missing()
        if not left or store.halted():
            return None
        again = functools.partial(run_hydra_with_signals, lambda: with_hydra(["--multirun", *words]), store)
        attempt = _attempt(again if parallel else functools.partial(_run_serially, words, store, left), store)
        if len(store.entries()) <= known:
            return attempt.stopped
    return attempt.stopped


def _run_first_pass(
    words: list[str], door: ComposedCommand, store: JobStore, plan: list[list[str]] | None, name: str
) -> int:
    """In the child: what was typed is checked, images are decoded, and the jobs start."""
    from semisup.report.console import short_warnings
    from semisup.runner.progress import Bars

    short_warnings()
    try:
        infos = validate_command(door)
        with Bars() as bars:  # the cache is filled before the jobs, which only open it; bad images are said once
            for dataset, info in infos.items():
                dataset.read(info, bars.watch)
        store.begin(plan, name)
    except (SettingError, DataError, OSError) as error:
        print(f"semisup train: {error}", file=sys.stderr)
        return REFUSED
    return run_hydra_with_signals(lambda: with_hydra(["--multirun", *words]), store)


def _run_serially(words: list[str], store: JobStore, numbers: list[int]) -> int:
    """In the child: these jobs of the plan, one after the other in this process. Each is a run to Hydra, which composes
    it once (84 ms of processor time); of a sweep of one job it composes three."""
    plan, own = store.plan() or [], [word for word in words if word.startswith("hydra.sweep.")]

    def work() -> None:
        for number in numbers:
            if store.halted():
                return
            os.environ[NUMBER] = str(number)
            with_hydra(["--run", *plan[number], *own])

    return run_hydra_with_signals(work, store)


def run_hydra_with_signals(work: Callable[[], None], store: JobStore) -> int:
    """In the child: whatever ends Hydra, it is written down."""
    from semisup.runner.signals import STOP_SIGNALS, TOGETHER_SECONDS, StopRequested, stop_error

    stopped, asked = None, 0.0

    def stop(number: int, frame: object) -> None:  # between two runs, or while others are at theirs
        nonlocal asked
        before, asked = asked, asked or time.monotonic()
        if before and time.monotonic() - before < TOGETHER_SECONDS:
            return
        store.halt(STOPPED)
        for process in store.others().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        if not before:  # else they were asked to save by the first, and waited for since
            store.wait_for_others()
        raise KeyboardInterrupt if number == signal.SIGINT else stop_error(number)

    for each in STOP_SIGNALS:
        signal.signal(each, stop)
    try:
        work()
    except KeyboardInterrupt:
        stopped = 130
    except StopRequested:
        stopped = 75
    except SystemExit:  # a launcher that gave up
        pass
    store.end(stopped)
    return 0


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
