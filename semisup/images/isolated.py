"""One file after the other in a process of its own, so that it is known which of them kills it.

For few files, and for those that were under way when one process of many died.
"""

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

R = TypeVar("R")

MAX_CONSECUTIVE_CRASHES = 16
"""So many in a row that kill their process: it is not them."""

SPAWNER = multiprocessing.get_context("forkserver")
"""Starts processes that know none of our threads and locks: the first in 0.5 s, all others in 10 ms."""
SPAWNER.set_forkserver_preload(["semisup.images.pool"])


@contextlib.contextmanager
def hide_main_module() -> Iterator[None]:
    """A process started in here does not run the user's script again, which need not be written for that."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class WorkerDiedError(Exception):
    """The process died. `reason`: "too slow" or "crashed"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_isolated(
    files: Sequence[ImageFile],
    act: Callable[[ImageFile], R],
    first: Callable[[], None],
    died: Callable[[ImageFile, str], R],
) -> Iterator[R]:
    """`act` of each file, in order, in one process for as long as that lives.

    Args:
        act: what the process does; its errors come through.
        first: what it does before anything else.
        died: takes the place of `act` for what killed a process twice ("crashed"), or once by its time ("too slow").

    Raises:
        DataError: whatever comes next kills its process.
    """
    with contextlib.closing(_Child(act, first)) as child:
        deaths = 0
        for file in files:
            try:
                yield _retry_once(child, file)
                deaths = 0
            except WorkerDiedError as error:
                deaths += 1
                if deaths == MAX_CONSECUTIVE_CRASHES:
                    raise DataError(
                        f"decoding processes die of {MAX_CONSECUTIVE_CRASHES} files in a row, {file.name} the last: killed for lack "
                        "of memory? Fewer workers or a lower max_pixels need less"
                    ) from error
                yield died(file, error.reason)


def _retry_once(child: "_Child[R]", file: ImageFile) -> R:
    try:
        return child.do(file)
    except WorkerDiedError as error:
        if error.reason == "too slow":
            raise
        return child.do(file)


class _Child(Generic[R]):
    """A process that does one file at a time; begun when it is needed, and again when it died."""

    def __init__(self, act: Callable[[ImageFile], R], first: Callable[[], None]) -> None:
        self.act, self.first = act, first
        self.process: Any = None

    def do(self, file: ImageFile) -> R:
        """Raises DiedError, or what `act` raised."""
        if self.process is None:
            self.line, theirs = SPAWNER.Pipe()
            self.process = SPAWNER.Process(target=_serve, args=(theirs, self.act, self.first), daemon=True)
            with hide_main_module():
                self.process.start()
            theirs.close()
        try:
            self.line.send(file)
            good, result = self.line.recv()
        except (EOFError, OSError):
            self.process.join()
            code, self.process = self.process.exitcode, None
            raise WorkerDiedError("too slow" if code == TOO_SLOW else "crashed") from None
        if good:
            return result  # type: ignore[no-any-return]
        raise result

    def close(self) -> None:
        if self.process is not None and self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(line: Any, act: Callable[[Any], Any], first: Callable[[], None]) -> None:
    init_worker()
    first()
    while True:
        file = line.recv()
        try:
            line.send((True, act(file)))
        except Exception as error:
            line.send((False, error))


def init_worker() -> None:
    """A process's first act: leave Ctrl-C to the parent, and never outlive it, not even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
