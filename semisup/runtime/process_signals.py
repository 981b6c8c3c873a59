"""Handle and send signals, also on Windows.

Windows has only some of the signals, and cannot block them or send them to another process. There, Ctrl-C reaches all
processes of a console. Python can install signal handlers only in the main thread.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

STOP_NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGBREAK")

STOP_SIGNALS = tuple(signal.Signals[name] for name in STOP_NAMES if hasattr(signal, name))
"""The signals of this system that ask a process to stop."""

HANGUP = getattr(signal, "SIGHUP", None)
"""Signal that the terminal was closed; None if the system has none."""

KILLED = 9
"""Number of SIGKILL, the signal that ends a process at once; on Windows, `signal` does not define it."""

SENDS_SIGNALS = os.name != "nt"
"""Whether a process can send a signal to another one."""

Handler = Callable[[int, FrameType | None], None]


def is_main_thread() -> bool:
    """Whether this is the thread in which Python handles signals."""
    return threading.current_thread() is threading.main_thread()


def handled_signals() -> tuple[signal.Signals, ...]:
    """List the stop signals to handle in this process; SIGHUP is left out if it is ignored, as with `nohup`."""
    return tuple(each for each in STOP_SIGNALS if each != HANGUP or signal.getsignal(each) is not signal.SIG_IGN)


def install(handler: Handler, signals: Iterable[signal.Signals]) -> dict[signal.Signals, Any]:
    """Install a handler for signals, and return the previous handlers.

    Outside the main thread, install nothing and return {}.
    """
    return {each: signal.signal(each, handler) for each in signals} if is_main_thread() else {}


def restore(handlers: dict[signal.Signals, Any]) -> None:
    """Install the handlers that `install` returned."""
    for each, handler in handlers.items():
        signal.signal(each, handler)


@contextlib.contextmanager
def blocked(*signals: int) -> Iterator[None]:
    """Context manager that blocks signals in this process and in those started in its body; no effect on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def deferred(*signals: signal.Signals) -> Iterator[None]:
    """Context manager: the first of these signals that is received in its body is handled at its end.

    Unlike with `blocked`, processes that are started in the body receive the signals at once. Other handlers that are
    installed for these signals in the body are replaced by the previous ones at its end.
    """
    received: list[int] = []
    before = install(lambda number, _: received.append(number), signals)
    try:
        yield
    finally:
        restore(before)
        if received:
            signal.raise_signal(received[0])


def unblock(*signals: int) -> None:
    """Stop blocking these signals, which the parent process may have blocked."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def send(process: int, number: int) -> None:
    """Send a signal to a process; do nothing if the process has ended, or on Windows.

    Args:
        process: process id.
        number: number of the signal.
    """
    if SENDS_SIGNALS:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def raise_in_main_thread(number: int) -> None:
    """Send a signal to this process, from any thread; the handler of the signal runs in the main thread."""
    if SENDS_SIGNALS:
        os.kill(os.getpid(), number)
    else:
        signal.raise_signal(number)
