"""`python -m tests.sweep.stand_in WORDS...` is `semisup WORDS...` in which a training is one step of nothing, and
some go wrong: by seed, in many ways. Everything else is the real program.

STAND_IN, in the environment, holds a JSON object: seed -> how it goes wrong; with "control" before the seed, of a run
on labels alone. STAND_IN_LOG names a file to which every
training adds its seed.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from semisup.core.events import Event, Finished, StepEnd
from semisup.errors import DivergedError
from semisup.runner import run
from semisup.sweep import worker_process


def _raise(error: BaseException) -> None:
    raise error


WAYS = {
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
    wrong = planted.get(f"{'' if settings.method.uses_unlabeled else 'control '}{settings.seed}")
    wrong = wrong or planted.get(str(settings.seed))
    if wrong in WAYS:
        WAYS[wrong]()
    state.step = 1
    yield StepEnd(1, 0)
    if wrong == "asked after the last step":
        WAYS["interrupted"]()
    summary = {"steps": 1, "epochs": 1, "labeled_steps": 1, "best/step": 1, "best/epoch": 1, "best/val/accuracy": 0.5}
    yield Finished(1, 1, summary)


setattr(run, "train", train)  # noqa: B010
worker_process.COMMAND = (sys.executable, "-m", "tests.sweep.stand_in", "_sweep-worker")

if __name__ == "__main__":
    from semisup.__main__ import main

    sys.exit(main())
