"""Whether a process that left its name in a file still lives.

A number alone says little: it is given again, and two containers of one host name have the same numbers for other
processes. So a process is named by the host, its boot, the namespace that its number is of, the number, and when it
started; and only of those in our own namespace is it known whether they live.
"""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """This process, as plain data: host, boot, namespace, process, started."""
    process = os.getpid()
    here = {"host": socket.gethostname(), "boot": boot_id(), "namespace": pid_namespace()}
    return here | {"process": process, "started": start_time(process)}


def is_local(other: dict[str, Any]) -> bool:
    """Whether `other`, as of `this_process`, is or was of our host and namespace, so that it can be seen whether it lives; an
    earlier version did not say the namespace."""
    mine = {"host": socket.gethostname(), "boot": boot_id(), "namespace": pid_namespace()}
    return mine == {key: other.get(key, pid_namespace() if key == "namespace" else None) for key in mine}


def is_alive(other: dict[str, Any]) -> bool:
    """Whether a process that is `is_local` still does."""
    return start_time(other.get("process", 0)) == other.get("started")


@cache
def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Of what our process numbers are; "" where there is no telling, and then there is but one."""
    try:
        return os.readlink("/proc/self/ns/pid").removeprefix("pid:").strip("[]")
    except OSError:
        return ""


def start_time(process: int) -> str | None:
    """When a process of this namespace started, in clock ticks since boot; None where there is no such process, or only
    what its parent has not yet collected."""
    try:
        about = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _alive_without_proc(process)
    return None if about[0] in "ZX" else about[19]


def _alive_without_proc(process: int) -> str | None:
    if Path("/proc/self").exists():
        return None
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except (PermissionError, OverflowError):
        pass
    return "running"
