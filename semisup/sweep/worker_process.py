"""Start the worker process of a sweep. A job that crashes ends this process, but not the command."""

# A new interpreter costs 1.4 s of CPU time more than a fork (median of 5 paired sweeps on a busy machine, range 1.0 to
# 2.0), for imports, a second composition of the config, and the teardown.

import contextlib
import json
import subprocess
import sys
from typing import Any

from semisup.runtime.process_signals import STOP_SIGNALS, blocked, handled_signals, install, restore, send

COMMAND = (sys.executable, "-m", "semisup", "_sweep-worker")
"""The command that starts the worker program."""


def run_in_subprocess(request: dict[str, Any]) -> tuple[int, int | None]:
    """Start a worker process, send it a request, forward stop signals to it, and wait for its end.

    The request is one line of JSON on the worker's standard input. This pipe is open until the worker ends, so that the
    worker can detect the end of this process.

    Args:
        request: fields of `semisup.sweep.worker.WorkerRequest`.

    Returns:
        The exit status of the worker, or the negative number of the signal that killed it; and the last signal that
        was forwarded, or None.
    """
    forwarded: list[int] = []

    def forward(number: int, frame: object) -> None:
        forwarded.append(number)
        send(worker.pid, number)

    sys.stdout.flush()
    sys.stderr.flush()
    with blocked(
        *STOP_SIGNALS
    ):  # until both sides have handlers; the worker inherits this, and ends it when it is ready
        worker = subprocess.Popen(COMMAND, stdin=subprocess.PIPE)
        before = install(forward, handled_signals())
    try:
        assert worker.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended before it read
            worker.stdin.write(json.dumps(request).encode() + b"\n")
            worker.stdin.flush()
        code = worker.wait()
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()
        return code, forwarded[-1] if forwarded else None
    finally:
        restore(before)
