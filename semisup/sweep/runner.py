"""Run a sweep in a worker process; if a job crashes this process, run the remaining jobs in a new one."""

import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from hydra.errors import HydraException

from semisup.config.compose import split_deletions
from semisup.config.quoting import format_value
from semisup.config.resolvers import concurrent_runs
from semisup.errors import SettingError
from semisup.record.status import RunStatus
from semisup.report.console import safe_print
from semisup.runtime.memory_limit import memory_limit_bytes, oom_kill_count
from semisup.runtime.process_signals import KILLED
from semisup.runtime.torchrun_env import is_rank_zero, world_size
from semisup.runtime.warning_lines import printed_warnings
from semisup.sweep.cost import announcement
from semisup.sweep.job_order import ordered_words
from semisup.sweep.job_store import FAIL_FAST, JobStore
from semisup.sweep.labels_only import labels_only_words, print_note
from semisup.sweep.preflight import (
    ComposedCommand,
    bind_group_settings,
    compose_command,
    expected_jobs,
    job_overrides,
    require_launcher,
)
from semisup.sweep.summary import exit_status, summarize, summary_lines, write_summary
from semisup.sweep.sweepers import GRIDS, sweeper_name, sweeper_settings
from semisup.sweep.worker import NO_UNLABELED, REFUSED, WorkerRequest
from semisup.sweep.worker_process import run_in_subprocess
from semisup.text import counted, shell_quote

SYSTEM_ROOT = Path("/")
"""Folder that contains proc/ and sys/."""


def sweep(words: list[str], command: ComposedCommand, *, noted: bool = False, ends_with_summary: bool = True) -> int:
    """Run a sweep, summarize the recorded results of its jobs, and return the exit status.

    Args:
        words: overrides as the user typed them.
        command: the composed command.
        noted: whether notes about the files of the data set are already printed; False = the sweep prints them.
        ends_with_summary: whether the summary is printed if the exit status is 0.
    """
    if world_size() > 1:
        return _reject_torchrun()
    config = command.config
    root = Path(str(config.output_root)).expanduser() / str(config.name)
    chosen = [word.partition("=")[2].strip("'\"") for word in words if word.startswith("hydra.sweep.dir=")]
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"  # two sweeps of one second differ
    store = JobStore(Path(chosen[-1]) if chosen else root / "sweeps" / name)
    try:
        store.require_ownership()
        require_launcher(command)
        for_hydra, plan = _plan(words, command)
        sweeper = sweeper_settings(command, for_hydra, plan)
    except (SettingError, HydraException, OSError) as error:
        print(f"semisup train: {error}", file=sys.stderr)
        return REFUSED
    for_hydra += [] if chosen else [f"hydra.sweep.dir={format_value(str(store.folder))}"]
    began, minutes = time.monotonic(), _time_limit(command)
    deadline = None if minutes is None else time.time() + 60 * minutes
    begin = {"plan": plan, "sweep": name, "deadline": deadline, "announcement": _announcement(command, plan)} | {
        "printed": printed_warnings(),
        "noted": noted,
    }
    request = WorkerRequest(words, for_hydra, str(store.folder), None, begin, sweeper, _is_parallel(command))
    attempt = _attempt(request, store)
    cause = ""
    if store.belongs_to(name):
        stopped, cause = rerun_remaining(attempt, request, command, store)
    elif attempt.code == REFUSED:  # the worker has printed why
        return REFUSED
    elif attempt.code == NO_UNLABELED and (changed := labels_only_words(words, command)) is not None:
        print_note(command)
        command = compose_command(changed, asked=True)
        return sweep(changed, command, noted=True, ends_with_summary=ends_with_summary)
    else:  # the worker died before the first job
        store.begin(plan, name, command.deleted_keys, deadline)  # closed: nothing can be chosen without a worker
        stopped, cause = attempt.stopped, attempt.cause
    summary = summarize(store, expected_jobs(command, plan), time.monotonic() - began, cause)
    write_summary(store.folder, summary)
    status = exit_status(summary, stopped)
    if status or ends_with_summary:
        where = f"details: {store.folder / 'sweep_summary.md'}. Next: {_next_command(command, store, root)}"
        safe_print("", *summary_lines(summary), f"{summary['seconds']:.0f} s; {where}")
    if stopped is not None and status:
        safe_print("stopped; type the same command again to continue")
    return status


def _next_command(command: ComposedCommand, store: JobStore, root: Path) -> str:
    """Return the command to suggest after the sweep: `predict` if `train.refit` is true, otherwise `compare`."""
    done = sorted(str(entry["folder"]) for entry in store.entries().values() if entry["status"] == RunStatus.DONE)
    if command.config.train.refit is True and done:
        return f"semisup predict {' '.join(shell_quote(Path(folder)) for folder in done)} images/"
    return f"semisup compare {shell_quote(root)}"


def _plan(words: list[str], command: ComposedCommand) -> tuple[list[str], list[list[str]] | None]:
    """Plan the jobs of a sweep.

    Args:
        words: overrides as the user typed them.
        command: the composed command.

    Returns:
        The overrides for Hydra, and the overrides of each job (None if the sweeper does not run a grid).

    Raises:
        SettingError: a value is a range, which a grid cannot have.
    """
    for_hydra = bind_group_settings(split_deletions(words)[0])
    if sweeper_name(command.config) in GRIDS:
        params = command.config.hydra.sweeper.get("params")
        for_hydra = ordered_words(for_hydra, params, coarse_first=_time_limit(command) is not None)
    return for_hydra, job_overrides(command, for_hydra)


def _time_limit(command: ComposedCommand) -> float | None:
    """Return the time limit `sweep.minutes`; None if it is not set or not valid."""
    # the worker process reports a value that is not valid
    minutes = command.config.sweep.get("minutes")
    return float(minutes) if isinstance(minutes, int | float) and minutes > 0 else None


def _announcement(command: ComposedCommand, plan: list[list[str]] | None) -> str:
    jobs = [{key: value for key, _, value in (word.partition("=") for word in job)} for job in plan or []]
    seeds = {(job.get("seed"), job.get("dataset.split_seed")) for job in jobs}
    folds = {job["dataset.fold"] for job in jobs if "dataset.fold" in job}
    references = bool(command.config.sweep.control and not command.config.train.refit)
    return announcement(
        expected_jobs(command, plan),
        max(len(seeds), 1),
        max(len(folds), 1),
        references=references,
        minutes=_time_limit(command),
    )


def _reject_torchrun() -> int:
    """Print, in the process of rank 0, the error that torchrun cannot run a sweep; return the exit status."""
    # when rank 0 has ended, torchrun ends the other processes
    if not is_rank_zero():
        time.sleep(2)
        return REFUSED
    error = SettingError(
        "torchrun",
        world_size(),
        "torchrun trains one run; start a sweep without it, and distribute its runs with hydra/launcher=cores or gpus",
    )
    print(f"semisup train: {error}", file=sys.stderr)
    return REFUSED


def _is_parallel(command: ComposedCommand) -> bool:
    return str(command.config.hydra.runtime.choices["hydra/launcher"]) != "basic"


class Attempt(NamedTuple):
    """Result of one worker process of a sweep.

    code: exit status of the process, or the negative number of the signal that killed it
    stopped: exit status of the command if a signal asked the sweep to stop, or None
    dead: names of the jobs that failed because their process ended
    killed: whether SIGKILL ended the worker process or one of its child processes
    cause: reason why the process ended early, or ""
    """

    code: int
    stopped: int | None
    dead: list[str]
    killed: bool = False
    cause: str = ""


def _attempt(request: WorkerRequest, store: JobStore) -> Attempt:
    oom_kills = oom_kill_count(SYSTEM_ROOT)
    code, forwarded = run_in_subprocess(request._asdict())
    oom_kills = oom_kill_count(SYSTEM_ROOT) - oom_kills
    end: dict[str, Any] | None = store.pop_end()
    stopped = end["stopped"] if end else None
    if forwarded is not None and stopped is None:
        stopped = 130 if forwarded == signal.SIGINT else 75
    killed = code == -KILLED or bool(end and end.get("killed")) or oom_kills > 0
    if end is not None:
        cause = "a process of the launcher was killed by SIGKILL" if killed else "a process of the launcher"
    else:
        cause = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    if killed:
        cause += f": {_memory_report(oom_kills)}"
    dead = store.mark_dead(cause)
    failed = killed or bool(dead) or (code != 0 and stopped is None)  # a second signal ends the process with a status
    return Attempt(code, stopped, dead, killed, cause if failed else "")


def _memory_report(oom_kills: int) -> str:
    """Write the part of a message about processes that were killed for lack of memory.

    Args:
        oom_kills: number of these processes; 0 if the number is unknown.
    """
    limit = f"limit {memory_limit_bytes(SYSTEM_ROOT) / 1e9:.2f} GB"
    return f"out of memory, {limit}, {oom_kills} processes killed" if oom_kills > 0 else f"out of memory? {limit}"


def rerun_remaining(
    attempt: Attempt, request: WorkerRequest, command: ComposedCommand, store: JobStore
) -> tuple[int | None, str]:
    """Start worker processes for the unfinished jobs, until no job is left or a process finishes no job.

    If a process of a parallel launcher was killed, the next worker process runs half as many jobs at a time.

    Args:
        attempt: result of the first worker process.
        request: request to the first worker process.

    Returns:
        The exit status if a signal stopped the sweep, or None; and the reason why jobs were killed, or "".
    """
    request = request._replace(begin=None)
    parallel = _is_parallel(command)
    fail_fast = bool(command.config.sweep.fail_fast)
    at_a_time, cause = concurrent_runs(command.config.hydra.launcher) if parallel else 1, attempt.cause
    while attempt.stopped is None:
        before = store.progress()
        fewer = attempt.killed and parallel and at_a_time > 1 and store.plan() is not None
        if fewer:
            at_a_time //= 2
            parallel = at_a_time > 1
            store.delete_entries(_with_references(attempt.dead))
            safe_print(f"{attempt.cause}; continuing with {counted(at_a_time, 'run')} at a time")
        elif attempt.dead and parallel and store.plan() is not None:
            # One of these jobs crashed its process, and the launcher ended the other processes: run each job by itself.
            suspects = sorted({int(name.partition("-")[0]) for name in attempt.dead})
            store.delete_entries(_with_references(attempt.dead))
            for number in suspects:
                attempt = _attempt(request._replace(numbers=[number]), store)
                cause = attempt.cause or cause
                if attempt.stopped is not None:
                    return attempt.stopped, cause
                if fail_fast and attempt.dead:
                    store.request_stop(FAIL_FAST, job=attempt.dead[0], status=RunStatus.FAILED)
        elif attempt.dead and fail_fast:
            store.request_stop(FAIL_FAST, job=attempt.dead[0], status=RunStatus.FAILED)
        if not (store.missing_jobs() or store.is_open()) or store.stop_reason():
            return None, cause
        attempt = _attempt(_next_request(request, parallel, at_a_time), store)
        cause = attempt.cause or cause
        if store.progress() <= before and not (attempt.killed and at_a_time > 1):
            return attempt.stopped, cause
    return attempt.stopped, cause


def _with_references(names: list[str]) -> list[str]:
    """Add to names of jobs and reference runs (such as 00003-control) the job of each reference run (00003)."""
    return sorted({*names, *(name.partition("-")[0] for name in names)})


def _next_request(request: WorkerRequest, parallel: bool, at_a_time: int) -> WorkerRequest:
    """Create the request with which a new worker process runs the remaining jobs of a sweep.

    Args:
        request: request to the previous worker process.
        parallel: whether Hydra's launcher runs the jobs; False = one after another.
        at_a_time: number of jobs to run at the same time.
    """
    if not parallel:
        return request._replace(parallel=False)
    words = request.hydra_overrides
    if at_a_time > 1:  # a launcher of joblib's
        words = [word for word in words if not word.startswith("hydra.launcher.n_jobs=")]
        words = [*words, f"hydra.launcher.n_jobs={at_a_time}"]
    return request._replace(hydra_overrides=words)
