"""`python -m tests.sweep.stand_in ...` is `semisup ...` in which a training is one empty step and planted runs fail.

Everything else is the real program. Environment variables:

    STAND_IN         JSON object: seed -> kind of failure (`FAILURES`); "control 3" = the reference runs of seed 3
    STAND_IN_LOG     file to which every training appends its seed
    STAND_IN_ROOT    folder with the /proc and /sys of the program's control group (full_group.py)
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semisup.core.events import Event, Finished, StepEnd
from semisup.errors import DivergedError
from semisup.runner import run
from semisup.sweep import runner, worker_process


def _raise(error: BaseException) -> None:
    raise error


FAILURES = {
    "exception": lambda: _raise(OSError("planted: No space left on device")),
    "exit 0": lambda: sys.exit(0),
    "exit 3": lambda: sys.exit(3),
    "diverged": lambda: _raise(DivergedError(1)),
    "interrupted": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "_exit": lambda: os._exit(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "slow": lambda: time.sleep(3),
}
LOG = os.environ.get("STAND_IN_LOG", os.devnull)


def train(problem: Any, settings: Any, state: Any) -> Iterator[Event]:
    descriptor = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{settings.seed}\n".encode())
    os.close(descriptor)
    planted = json.loads(os.environ.get("STAND_IN", "{}"))
    failure = planted.get(f"{'' if settings.method.uses_unlabeled else 'control '}{settings.seed}")
    failure = failure or planted.get(str(settings.seed))
    if failure in FAILURES:
        FAILURES[failure]()
    state.step = 1
    yield StepEnd(1, 0)
    if failure == "signal after the last step":
        FAILURES["interrupted"]()
    summary = {"steps": 1, "epochs": 1, "labeled_steps": 1, "best/step": 1, "best/epoch": 1, "best/val/accuracy": 0.5}
    yield Finished(1, 1, summary)


setattr(run, "train", train)  # noqa: B010
worker_process.COMMAND = (sys.executable, "-m", "tests.sweep.stand_in", "_sweep-worker")
if "STAND_IN_ROOT" in os.environ:
    runner.SYSTEM_ROOT = Path(os.environ["STAND_IN_ROOT"])

if __name__ == "__main__":
    from semisup.__main__ import main

    sys.exit(main())
