"""Work in a child process, so that a run that ends or breaks its process ends no more than that."""

import atexit
import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable

FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1  # of Linux: a signal when the parent dies


def run_in_subprocess(work: Callable[[], int]) -> tuple[int, int | None]:
    """Do it there, with the signals that ask this process to stop passed on. This process must have no threads, nor
    have asked for a GPU, which no child of it could use: a sweep keeps torch out of it.

    Returns:
        what `work` returned, or the negative number of the signal that ended it; and the last signal passed on.
    """
    passed: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        passed.append(number)
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(child, number)

    sys.stdout.flush()
    sys.stderr.flush()
    parent, before = os.getpid(), {each: signal.getsignal(each) for each in FORWARDED_SIGNALS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)  # none is lost until there is someone to hear it
    try:
        child = os.fork()
    except OSError:  # no room for another process
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    if child == 0:
        _end_with(parent)
        _leave_to_the_parent_what_is_its_own()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os._exit(_done(work))
    try:
        for each in FORWARDED_SIGNALS:
            signal.signal(each, pass_on)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, passed[-1] if passed else None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _done(work: Callable[[], int]) -> int:
    """All that a process does at its end is done here, but for going back to what its parent was at: Ray and W&B end
    their own processes there, and Python has no public word for it (multiprocessing's children do without)."""
    code = 1
    try:
        code = work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # ends the workers of joblib, which the next line waits for
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        traceback.print_exc()
    return code


def _leave_to_the_parent_what_is_its_own() -> None:
    """What the parent is to do at its end is not done at the child's, which would remove W&B's folder of pictures, for
    one; but for what any process does, and for what is registered from now on."""
    atexit._clear()
    for each in list(weakref.finalize._registry):  # type: ignore[attr-defined]  # there is no public list
        each.atexit = False
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]  # the next one registers again
    atexit.register(logging.shutdown)
    if processes := sys.modules.get("multiprocessing.util"):
        atexit.register(processes._exit_function)


def _end_with(parent: int) -> None:
    """Be asked to stop when the parent is killed, where the system can do that."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
