"""Work that may hang, done for at most so many seconds."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from semisup.errors import escape

T = TypeVar("T")


class UnavailableError(Exception):
    """The work failed or did not end in time; says why in one line."""


def run_with_timeout(seconds: float, doing: str, work: Callable[[], T]) -> T:
    """What `work` returns, if it does so in time.

    It runs in a daemon thread of its own: when time is up the thread is left behind, and does not keep the
    process from ending. Signals go to the main thread as ever, so Ctrl-C ends the wait.

    Args:
        seconds: how long to wait.
        doing: what the work is, for the message.
        work: takes nothing.

    Raises:
        UnavailableError: time was up, or `work` raised anything, SystemExit included.
    """
    outcome: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:  # handed to the waiting thread, which raises
            outcome.put((None, error))

    threading.Thread(target=run, name=f"semisup {doing}", daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise UnavailableError(f"{doing} took more than {seconds:g} s") from None
    if error is not None:
        raise UnavailableError(escape(f"{doing} failed, {type(error).__name__}: {error}")) from error
    return result  # type: ignore[return-value]  # mypy does not narrow one half of a pair by the other
