"""Signals that ask a run to stop: noted at once, obeyed at the next step or batch, when everything is saved.

SIGTERM, SIGUSR1 and SIGUSR2 (SLURM, Kubernetes, submitit) end with exit 75: the same command continues. Ctrl-C ends
with 130. A second signal does not wait for the step, unless it comes with the first: who stops a group of processes
reaches some of them twice. torchrun gives on each that it gets, beside the terminal, and its processes wait.

Whoever else listens for the same signal is not robbed of it: once the run is saved and on record, `forward_signal` gives it to
the handler that was there before. submitit's queues the job again.
"""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from semisup.runtime.distributed import world_size

TOGETHER_SECONDS = 0.5
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class StopRequested(SystemExit):
    """A run stopped because it was asked to by the signal that its text names; `code` is the exit status."""

    def __init__(self, code: int, by: str) -> None:
        super().__init__(code)
        self.code: int = code
        self.by = by

    def __str__(self) -> str:
        return self.by


class StopHandler:
    """While in this context, `asked` is what a signal wants raised, or None; earlier handlers come back."""

    def __init__(self) -> None:
        self.asked: StopRequested | None = None
        self.since = 0.0
        self.wait = False  # True once steps are being made: before, there is nothing to save
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self.before = {each: signal.signal(each, self._note) for each in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self.before.items():
            signal.signal(each, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        asked = stop_error(number)
        if self.asked is not None and time.monotonic() - self.since < TOGETHER_SECONDS:
            return
        if not self.wait or (self.asked is not None and world_size() == 1):
            raise asked
        if self.asked is None:
            self.asked, self.since = asked, time.monotonic()


def stop_error(number: int) -> StopRequested:
    """What a signal wants raised."""
    return StopRequested(130 if number == signal.SIGINT else 75, signal.Signals(number).name)


def forward_signal(name: str) -> None:
    """Give a signal that a run has obeyed to whoever listened for it before the run; to nobody where that was Python
    or the system itself.

    Args:
        name: as in `StoppedError.by`: SIGTERM, ...
    """
    number = signal.Signals[name]
    listener = signal.getsignal(number)
    if callable(listener) and listener is not signal.default_int_handler:
        listener(number, None)
