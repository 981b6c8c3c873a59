"""A control group that holds few workers of joblib's: any further one is killed at its start, as the kernel does.

`install` writes the group's /proc and /sys, and a `sitecustomize` that every worker of joblib's imports first.
"""

import fcntl
import os
import signal
from pathlib import Path

from semisup.runtime.liveness import start_time
from tests.preloaded import NEW_WORKERS

ROOT = Path(__file__).resolve().parents[2]
EVENTS = "sys/fs/cgroup/job/memory.events"
SITE = """
import sys
if any("popen_loky" in word for word in sys.orig_argv):
    from pathlib import Path
    from tests.sweep.full_group import die_if_full
    die_if_full(Path({root!r}), {workers})
"""


def install(root: Path, workers: int) -> dict[str, str]:
    """Write a control group with a limit of 0.5 GB below `root`; return the environment of a program in it."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/job\n")
    (root / "proc/self/mountinfo").write_text("36 35 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    (root / EVENTS).parent.mkdir(parents=True)
    (root / EVENTS).write_text("oom_kill 0\n")
    (root / EVENTS).with_name("memory.max").write_text("500000000\n")
    (root / "sitecustomize.py").write_text(SITE.format(root=str(root), workers=workers))
    paths = os.pathsep.join([str(root), str(ROOT)])
    return {"STAND_IN_ROOT": str(root), "PYTHONPATH": paths, NEW_WORKERS: "1"}


def die_if_full(root: Path, workers: int) -> None:
    """Kill this process, and count it in memory.events, if as many workers are alive."""
    with (root / EVENTS).open("r+") as events:
        fcntl.flock(events, fcntl.LOCK_EX)
        processes = root / "workers"
        alive = [pid for pid in processes.read_text().split() if start_time(int(pid))] if processes.exists() else []
        if len(alive) >= workers:
            count = int(events.read().split()[-1]) + 1
            events.seek(0)
            events.write(f"oom_kill {count}\n")
            events.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        processes.write_text(" ".join([*alive, str(os.getpid())]))
