"""Call functions with a time limit, so that an upload cannot block a run."""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from semisup.text import escape

T = TypeVar("T")


class UnavailableError(Exception):
    """Error for a call that failed or exceeded its time limit; the message has one line."""


def run_with_timeout(seconds: float, doing: str, work: Callable[[], T]) -> T:
    """Call a function in a thread and return its result, or raise an error after the time limit.

    At the time limit, the thread is not stopped, but it does not keep the process from exiting.

    Args:
        seconds: time limit.
        doing: name of the operation, for the message.
        work: function without arguments.

    Raises:
        UnavailableError: the time limit was exceeded, or `work` raised any exception, including SystemExit.
    """
    outcome: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:  # re-raised in the waiting thread
            outcome.put((None, error))

    threading.Thread(target=run, name=f"semisup {doing}", daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise UnavailableError(f"{doing} took more than {seconds:g} s") from None
    if error is not None:
        raise UnavailableError(escape(f"{doing} failed, {type(error).__name__}: {error}")) from error
    return result  # type: ignore[return-value]  # mypy does not narrow one element of a tuple by the other
