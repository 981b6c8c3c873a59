"""Worker process of a sweep: validate the command, decode the images and run the jobs."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from semisup.errors import DataError, NoUnlabeledError, SettingError, first_line
from semisup.runtime.process_signals import STOP_SIGNALS, handled_signals, install, raise_in_main_thread, send, unblock
from semisup.runtime.warning_lines import share_printed, short_warnings
from semisup.sweep import ray_launcher
from semisup.sweep.batches import job_batches, launch_batches
from semisup.sweep.hydra_run import NUMBER_WORD, run_hydra, run_job, single_run_words
from semisup.sweep.job_store import STOPPED, TIME_UP, JobStore
from semisup.sweep.labels_only import automatic_words
from semisup.sweep.preflight import compose_command, validate_command
from semisup.sweep.sweepers import HALVING, SEARCH
from semisup.text import escape

if TYPE_CHECKING:
    from semisup.dataset import Dataset, DatasetInfo

REFUSED = 2
"""Exit status if the command is not valid; the worker has printed the reason."""

NO_UNLABELED = 4
"""Exit status if the data have no unlabeled images, so that the sweep must be started again on the labels alone."""


class WorkerRequest(NamedTuple):
    """Request to the worker process of a sweep: which jobs to run, and how.

    overrides: the overrides as the user typed them
    hydra_overrides: the overrides as passed to Hydra; their order determines the order of the jobs
    folder: folder of the sweep
    numbers: numbers of the jobs to run one after another; None = the jobs that the sweeper chooses
    begin: data about a new sweep, such as its plan, to record after the command is validated and the images are
        decoded; None = a worker process has done this already
    sweeper: name and settings of the sweeper; None = a sweeper of another package
    parallel: whether Hydra's launcher runs the jobs; False = one after another in the worker process
    """

    overrides: list[str]
    hydra_overrides: list[str]
    folder: str
    numbers: list[int] | None
    begin: dict[str, Any] | None
    sweeper: dict[str, Any] | None = None
    parallel: bool = True


def run_worker() -> int:
    """Read a `WorkerRequest` from standard input, run its jobs, and return the exit status."""
    try:
        unblock(*STOP_SIGNALS)
        request = _read_request()
        if request is None:
            return 1
        store = JobStore(Path(request.folder))
        if request.begin is not None and (refused := _begin(request, store, request.begin)):
            return refused
        share_printed(store.printed_warnings)
        return run_with_stop_signals(lambda: _run_jobs(request, store), store)
    except KeyboardInterrupt:
        return 130


def _read_request() -> WorkerRequest | None:
    """Read the request from standard input; None if the parent process ended before it sent one."""
    pipe, data = os.dup(0), b""
    while not data.endswith(b"\n"):
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            return None
        data += chunk
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_stop_with_parent, args=(pipe,), daemon=True).start()
    return WorkerRequest(**json.loads(data))


def _stop_with_parent(pipe: int) -> None:
    """Wait until the parent process ends, which closes the pipe; then send SIGTERM to this process."""
    while os.read(pipe, 1):
        pass
    raise_in_main_thread(signal.SIGTERM)


def _begin(request: WorkerRequest, store: JobStore, begin: dict[str, Any]) -> int:
    """Prepare a sweep: validate its command, decode the images into the cache, and write the plan of the jobs.

    Returns:
        0 if the jobs can run; otherwise the exit status REFUSED or NO_UNLABELED.
    """
    from semisup.report.console import safe_print
    from semisup.runner.progress import Bars

    short_warnings(begin["printed"])
    try:
        command = compose_command(request.overrides, True)
        try:
            infos = validate_command(command, begin["plan"], show_notes=not begin["noted"])
        except NoUnlabeledError as error:
            automatic_words(error, request.overrides, command)
            return NO_UNLABELED
        safe_print(begin["announcement"])
        with Bars() as bars:  # the jobs only open the cache, and unreadable images are reported once
            for dataset, info in one_of_each_files(infos).items():
                dataset.read(info, bars.watch)
        is_open = (request.sweeper or {}).get("name") in (HALVING, SEARCH)
        store.begin(begin["plan"], begin["sweep"], command.deleted_keys, begin["deadline"], is_open=is_open)
    except (SettingError, DataError, OSError) as error:
        print(f"semisup train: {error}", file=sys.stderr)
        return REFUSED
    return 0


def one_of_each_files(infos: "dict[Dataset, DatasetInfo]") -> "dict[Dataset, DatasetInfo]":
    """Keep only the first of several data sets that differ only in the split seed or the fold.

    Args:
        infos: data set -> its classes and numbers of images.
    """
    from semisup.dataset import KeyRole, keys_with_role

    first: dict[Any, Dataset] = {}
    for dataset in infos:
        equal = keys_with_role(type(dataset), KeyRole.SPLIT_SEED)
        equal += [key for key in keys_with_role(type(dataset), KeyRole.FOLD) if getattr(dataset, key) is not None]
        first.setdefault(replace(dataset, **dict.fromkeys(equal, 0)) if equal else dataset, dataset)  # type: ignore[type-var]
    return {dataset: infos[dataset] for dataset in first.values()}


def _run_jobs(request: WorkerRequest, store: JobStore) -> None:
    """Run the jobs of the request, or those that the sweeper chooses."""
    if request.numbers is not None:
        _run_serially(request, store, [request.numbers])
    elif request.sweeper is None:
        _run_with_launcher(request, store)
    elif request.parallel:
        launch_batches(
            [_with_number(number, store) for number in batch] for batch in job_batches(request.sweeper, store)
        )
        _run_with_launcher(request, store)
    else:
        _run_serially(request, store, job_batches(request.sweeper, store))


def _with_number(number: int, store: JobStore) -> list[str]:
    """Return the overrides of a job, and its number in the sweep as a further override.

    The number is needed because launchers number the jobs of each batch from 0.
    """
    return [*(store.plan() or [])[number], f"{NUMBER_WORD}'{number}'"]


def _run_with_launcher(request: WorkerRequest, store: JobStore) -> None:
    """Run all jobs of the sweep with Hydra's launcher.

    Hydra's file multirun.yaml, which can contain secrets, is discarded.
    """
    from semisup.runtime.devnull import discard_writes

    multirun = store.folder / "multirun.yaml"
    discard_writes(multirun)
    ray_launcher.install()
    try:
        run_hydra(["--multirun", *request.hydra_overrides])
    finally:
        multirun.unlink(missing_ok=True)
        ray_launcher.shut_down()


def _run_serially(request: WorkerRequest, store: JobStore, batches: Iterable[list[int]]) -> None:
    """Run jobs of the sweep one after another in this process.

    Args:
        batches: numbers of the jobs of each batch.
    """
    hydra_words = single_run_words(request.hydra_overrides)
    for batch in batches:
        plan = store.plan() or []
        for number in batch:
            if store.stop_reason() in (STOPPED, TIME_UP):
                return
            run_job(number, plan[number], hydra_words)


def run_with_stop_signals(work: Callable[[], None], store: JobStore) -> int:
    """Call `work`, which runs the jobs of a sweep, with handlers of stop signals; return 0.

    At a stop signal, `work` is interrupted after all runs have saved their state. The store records whether a signal
    stopped the sweep.
    """
    from semisup.runner.signals import TOGETHER_SECONDS, StopRequested, stop_error

    stopped, killed, first_signal = None, None, 0.0

    def stop(number: int, frame: object) -> None:  # between two runs, or while other processes run theirs
        nonlocal first_signal
        before, first_signal = first_signal, first_signal or time.monotonic()
        if before and time.monotonic() - before < TOGETHER_SECONDS:
            return
        store.request_stop(STOPPED)
        for process in store.running_elsewhere().values():
            send(process, number)
        if not before:  # otherwise the first signal made them save, and they were waited for
            store.wait_for_others()
        raise KeyboardInterrupt if number == signal.SIGINT else stop_error(number)

    install(stop, handled_signals())
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra turns every error of a launcher into exit status 1
    try:
        work()
    except KeyboardInterrupt:
        stopped = 130
    except StopRequested:
        stopped = 75
    except SystemExit:  # the launcher gave up
        pass
    except Exception as error:
        killed = killed_by(error)
        print(f"semisup train: the launcher failed: {escape(first_line(error))}", file=sys.stderr)
    store.write_end(stopped, killed)
    return 0


def killed_by(error: Exception) -> Literal["SIGKILL"] | None:
    """Return "SIGKILL" if the error says that this signal killed a process of joblib; None for any other error."""
    # joblib has no public exception type for this case
    return "SIGKILL" if "SIGKILL" in str(error) else None
