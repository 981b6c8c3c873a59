"""How much memory there is for this process: of the machine, of its container or job, and beside its neighbors.

A control group limits all that is in it, whichever level of the hierarchy says so: the group of a container or of a
SLURM job is often above the one that the process is in.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

CONCURRENT_RUNS = "SEMISUP_SIDE_BY_SIDE"
"""In the environment: how many runs of a sweep there are on this machine at a time."""

EVENTS = {"cgroup2": "memory.events", "cgroup": "memory.oom_control"}
LIMITS = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Memory that this process and those beside it may take: the machine's, or the least limit of a control group.

    Args:
        root: where /proc and /sys are.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(root)])


def oom_kill_count(root: Path = Path("/")) -> int:
    """Count the processes of this control group that the kernel has killed for lack of memory; 0 where unknown.

    Args:
        root: where /proc and /sys are.
    """
    count = 0
    for kind, _, group in _groups(root):
        with contextlib.suppress(OSError, ValueError):
            lines = (group / EVENTS[kind]).read_text().splitlines()
            count += sum(int(line.split()[1]) for line in lines if line.split()[:1] == ["oom_kill"])
    return count


def local_process_count() -> int:
    """Processes of this machine that do the same as this one, itself included: torchrun's, and runs of a sweep."""
    found = 1
    for name in ("LOCAL_WORLD_SIZE", CONCURRENT_RUNS):
        with contextlib.suppress(ValueError):
            found *= max(1, int(os.environ.get(name, "1")))
    return found


def _limits(root: Path) -> Iterator[int]:
    """Of the groups of this process and of those above them, in both versions of control groups."""
    for kind, top, group in _groups(root):
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # none is set there, or it says "max"
                yield int((folder / LIMITS[kind]).read_text())
            if folder == top:
                break


def _groups(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Kind of the hierarchy, where it is mounted, and the folder of this process's group in it."""
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
