"""Decode one file at a time in a separate process, to find out which file kills the process."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from semisup.errors import DataError
from semisup.images.resource_limits import TOO_SLOW
from semisup.images.scan import ImageFile
from semisup.runtime.process_signals import blocked

R = TypeVar("R")

MAX_CONSECUTIVE_CRASHES = 16
"""After this many consecutive crashes the machine is assumed to be the cause, not the files."""

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""Start method of decoding processes; Windows has only `spawn`, with which each process starts in 0.5 s."""

SPAWNER: Any = multiprocessing.get_context(METHOD)
"""Context that starts processes without copying the threads and locks of this process.

With `forkserver`, the first process starts in 0.5 s, every further one in 10 ms.
"""
if METHOD == "forkserver":
    SPAWNER.set_forkserver_preload(["semisup.images.pool"])


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """Context manager for starting worker processes: they do not import the user's script and ignore Ctrl-C."""
    # Ctrl-C is blocked in the new processes too: one that is still importing its modules would print a traceback
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        with blocked(signal.SIGINT):
            yield
    finally:
        sys.modules["__main__"] = main


class WorkerDiedError(Exception):
    """Error for a worker process that died.

    Args:
        reason: "too slow" (it exceeded the time limit) or "crashed".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_isolated(
    files: Sequence[ImageFile],
    act: Callable[[ImageFile], R],
    first: Callable[[], None],
    died: Callable[[ImageFile, str], R],
) -> Iterator[R]:
    """Process files one at a time in a separate process, and yield one result for each file.

    If the process dies, it is restarted, and the file is tried once more, unless the time limit was exceeded.

    Args:
        act: function that is called in the process with each file and returns its result.
        first: function that is called once when the process starts.
        died: function that is called with each file that killed the process and the reason ("crashed" or "too slow"),
            and returns the result of this file.

    Raises:
        DataError: MAX_CONSECUTIVE_CRASHES files in a row killed the process.
    """
    with contextlib.closing(_Worker(act, first)) as worker:
        crashes = 0
        for file in files:
            try:
                yield _retry_once(worker, file)
                crashes = 0
            except WorkerDiedError as error:
                crashes += 1
                if crashes == MAX_CONSECUTIVE_CRASHES:
                    raise DataError(
                        f"decoding {MAX_CONSECUTIVE_CRASHES} files in a row killed the process; the last is "
                        f"{file.name}. If the machine has too little memory, set dataset.workers=1 or a lower"
                        " dataset.max_pixels"
                    ) from error
                yield died(file, error.reason)


def _retry_once(worker: "_Worker[R]", file: ImageFile) -> R:
    try:
        return worker.run(file)
    except WorkerDiedError as error:
        if error.reason == "too slow":
            raise
        return worker.run(file)


class _Worker(Generic[R]):
    """Worker process that handles one file at a time; it is started at the first file, and again after it died."""

    def __init__(self, act: Callable[[ImageFile], R], first: Callable[[], None]) -> None:
        self.act, self.first = act, first
        self.process: Any = None

    def run(self, file: ImageFile) -> R:
        """Send a file to the worker process and return the result.

        Raises:
            WorkerDiedError: the process died.
            Exception: the exception that `act` raised in the process.
        """
        if self.process is None:
            self.pipe, theirs = SPAWNER.Pipe()
            self.process = SPAWNER.Process(target=_serve, args=(theirs, self.act, self.first), daemon=True)
            with starting_processes():
                self.process.start()
            theirs.close()
        try:
            self.pipe.send(file)
            succeeded, result = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code, self.process = self.process.exitcode, None
            raise WorkerDiedError("too slow" if code == TOO_SLOW else "crashed") from None
        if succeeded:
            return result  # type: ignore[no-any-return]
        raise result

    def close(self) -> None:
        """Kill the worker process if it is alive."""
        if self.process is not None and self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Any, act: Callable[[Any], Any], first: Callable[[], None]) -> None:
    init_worker()
    first()
    while True:
        file = pipe.recv()
        try:
            pipe.send((True, act(file)))
        except Exception as error:
            pipe.send((False, error))


def init_worker() -> None:
    """Initialize a worker process: it ignores Ctrl-C, and exits when its parent process ends or is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
