"""`torchrun -m tests.training.asked_early WORDS...`: run `semisup WORDS...`, where every process but the first receives
SIGTERM before its first step, while it builds its model."""

import os
import signal
import sys
from typing import Any

from semisup.runner import distributed_run

start = distributed_run.start


def asked(*of: Any) -> Any:
    os.kill(os.getpid(), signal.SIGTERM)
    return start(*of)


setattr(distributed_run, "start", asked)  # noqa: B010

if __name__ == "__main__":
    from semisup.__main__ import main

    sys.exit(main())
