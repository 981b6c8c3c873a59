"""Determine how much memory this process may use: the limit of its machine, container or cluster job.

A container or cluster job is limited by a control group (cgroup) of Linux. The limit of a group applies to all groups
below it, so the limits of the group of this process and of all its parent groups are read.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

CONCURRENT_RUNS = "SEMISUP_SIDE_BY_SIDE"
"""Environment variable: number of concurrent runs of a sweep on this machine."""

EVENTS = {"cgroup2": "memory.events", "cgroup": "memory.oom_control"}
LIMITS = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Determine how many bytes of memory this process and concurrent runs may use together.

    The result is the minimum of the physical memory and the limits of control groups.

    Args:
        root: the directory that contains /proc and /sys.
    """
    return min([_physical_memory(), *_limits(root)])


def _physical_memory() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    import psutil  # on Windows

    return int(psutil.virtual_memory().total)


def oom_kill_count(root: Path = Path("/")) -> int:
    """Count the processes in this control group that were killed for lack of memory; 0 if unknown.

    Args:
        root: the directory that contains /proc and /sys.
    """
    count = 0
    for kind, _, group in _groups(root):
        with contextlib.suppress(OSError, ValueError):
            lines = (group / EVENTS[kind]).read_text().splitlines()
            count += sum(int(line.split()[1]) for line in lines if line.split()[:1] == ["oom_kill"])
    return count


def local_process_count() -> int:
    """Return the number of training processes on this machine.

    It is the number of torchrun processes times the number of concurrent runs of a sweep.
    """
    count = 1
    for name in ("LOCAL_WORLD_SIZE", CONCURRENT_RUNS):
        with contextlib.suppress(ValueError):
            count *= max(1, int(os.environ.get(name, "1")))
    return count


def _limits(root: Path) -> Iterator[int]:
    """Yield the memory limits, in bytes, of the control groups of this process and of all their parents."""
    for kind, top, group in _groups(root):
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # no limit is set there, or it is "max"
                yield int((folder / LIMITS[kind]).read_text())
            if folder == top:
                break


def _groups(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield the control groups of this process.

    Yields:
        (kind: cgroup or cgroup2, mount point, directory of the group).
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return
    named = [line.split(":", 2)[1:] for line in lines if line.count(":") > 1]  # 4:memory:/job, and 0::/job
    own = {
        "cgroup2": next((path for names, path in named if not names), None),
        "cgroup": next((path for names, path in named if "memory" in names.split(",")), None),
    }
    for mount in mounts:  # 36 35 98:0 /above /where rw,nosuid - cgroup2 cgroup rw,memory
        fields = mount.replace(" - ", " ").split(" ")
        if len(fields) < 9:
            continue
        above, where, kind, options = fields[3], fields[4], fields[-3], fields[-1]
        path = own.get(kind)
        if path is not None and (kind == "cgroup2" or "memory" in options.split(",")):
            top = root / where.lstrip("/")
            yield kind, top, top / path.removeprefix(above.rstrip("/")).lstrip("/")
