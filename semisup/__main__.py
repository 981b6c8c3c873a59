"""Prepare the process for the `semisup` command, and then call `semisup.cli.commands`.

The handler for Ctrl-C is installed before any other module of the program is imported.
"""

import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED_STATUS = 128 + signal.SIGINT


class _Interrupt:
    """SIGINT handler that raises KeyboardInterrupt on the first signal and ends the process on the second.

    requested: whether a signal was received. It is stored because code that is being imported may replace
        KeyboardInterrupt by another exception.
    finished: whether the command is done; after that, the first signal ends the process
    """

    def __init__(self) -> None:
        self.requested = False
        self.finished = False  # once the command is done there is nothing to clean up

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.requested or self.finished:
            os._exit(INTERRUPTED_STATUS)
        self.requested = True
        raise KeyboardInterrupt


def main() -> int:
    """Run the `semisup` command and return its exit status."""
    interrupt, is_program = _Interrupt(), _is_program()
    if is_program:
        _install(interrupt)
    try:
        from semisup.cli.commands import run_command_line

        return run_command_line(sys.argv[1:])
    except BaseException as error:
        if not (interrupt.requested or isinstance(error, KeyboardInterrupt)):
            raise
        print("semisup: interrupted", file=sys.stderr, flush=True)
        if is_program:  # Python itself would end by SIGINT if the exception passed through code that a library compiles
            os._exit(INTERRUPTED_STATUS)
        return INTERRUPTED_STATUS
    finally:
        interrupt.finished = True


def _is_program() -> bool:
    """Whether this process was started as `semisup` or `python -m semisup`, and not by a test program."""
    script = getattr(sys.modules["__main__"], "__file__", None) or ""
    return __name__ == "__main__" or os.path.basename(script) == "semisup"


def _install(interrupt: _Interrupt) -> None:
    """Install the SIGINT handler.

    Nothing is changed if SIGINT is ignored, as in a background job of a script, or if this is not the main thread.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGINT, interrupt)
    report = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_type is KeyboardInterrupt:  # raised in a destructor or a callback, which swallow it
            os._exit(INTERRUPTED_STATUS)
        report(unraisable)

    sys.unraisablehook = hook


if __name__ == "__main__":
    sys.exit(main())
