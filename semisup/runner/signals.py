"""Handle stop signals during a run: the run stops at the next step or batch, after its state is saved.

SIGTERM, SIGUSR1, SIGUSR2 (sent by SLURM, Kubernetes, submitit) and SIGHUP (the terminal was closed) end the command
with exit status 75, and Ctrl-C ends it with 130. The same command continues the run. A second signal stops the run at
once, without saving. With torchrun, a second signal has no effect.
"""

import os
import signal
import time
from types import FrameType, TracebackType
from typing import Any, Self

from semisup.runtime.devnull import redirect_to_devnull
from semisup.runtime.distributed import world_size
from semisup.runtime.process_signals import HANGUP, handled_signals, install, restore

TOGETHER_SECONDS = 0.5
"""Signals within this time count as one signal, because one that is sent to a process group can arrive twice."""


class StopRequested(SystemExit):
    """Exception for a stop by a signal.

    Args:
        code: exit status of the command.
        by: name of the signal, such as SIGTERM.
    """

    def __init__(self, code: int, by: str) -> None:
        super().__init__(code)
        self.code: int = code
        self.by = by

    def __str__(self) -> str:
        return self.by


class StopHandler:
    """Context that handles stop signals; at its end, the previous handlers are restored.

    asked: exception for the stop signal that was received, to be raised after the state is saved; None = no signal
    wait: whether a signal is only stored in `asked`. If False, the exception is raised at once, because there is no
        state to save yet
    """

    def __init__(self) -> None:
        self.asked: StopRequested | None = None
        self.since = 0.0
        self.wait = False  # True once there are steps: before, there is nothing to save
        self.before: dict[signal.Signals, Any] = {}
        self.terminals: list[int] = []

    def __enter__(self) -> Self:
        self.before = install(self._note, handled_signals())
        if self.before:
            self.terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        restore(self.before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == HANGUP:  # writing to the closed terminal would fail before the run is saved
            for descriptor in self.terminals:
                redirect_to_devnull(descriptor)
        request = stop_error(number)
        if self.asked is not None and time.monotonic() - self.since < TOGETHER_SECONDS:
            return
        if not self.wait or (self.asked is not None and world_size() == 1):
            raise request
        if self.asked is None:
            self.asked, self.since = request, time.monotonic()


def stop_error(number: int) -> StopRequested:
    """Create the exception for a stop signal with this number."""
    return StopRequested(130 if number == signal.SIGINT else 75, signal.Signals(number).name)


def forward_signal(name: str) -> None:
    """Call the installed handler of a signal. For example, the handler of submitit puts the job into the queue again.

    Does nothing if no program has installed a handler.

    Args:
        name: name of the signal, such as SIGTERM.
    """
    number = signal.Signals[name]
    handler = signal.getsignal(number)
    if callable(handler) and handler is not signal.default_int_handler:
        handler(number, None)
