"""Tell whether a process that is named in a file is alive.

A process id is not enough: ids are reused, and two containers with one host name have the same ids for different
processes. A process is identified by host, boot, PID namespace, id and start time; only for a process of this
namespace can it be told whether it is alive.
"""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Identify this process as plain data: host, boot, namespace, process, started."""
    process = os.getpid()
    here = {"host": socket.gethostname(), "boot": boot_id(), "namespace": pid_namespace()}
    return here | {"process": process, "started": start_time(process)}


def is_local(other: dict[str, Any]) -> bool:
    """Whether `other`, made by `this_process`, is of this host, boot and PID namespace.

    Version 0.1.0 did not record the namespace; this one is assumed then.
    """
    mine = {"host": socket.gethostname(), "boot": boot_id(), "namespace": pid_namespace()}
    return mine == {key: other.get(key, pid_namespace() if key == "namespace" else None) for key in mine}


def is_alive(other: dict[str, Any]) -> bool:
    """Whether a process for which `is_local` holds is alive."""
    return start_time(other.get("process", 0)) == other.get("started")


@cache
def boot_id() -> str:
    """The id of this boot of the kernel; "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """The PID namespace of this process; "" where the system has only one."""
    try:
        return os.readlink("/proc/self/ns/pid").removeprefix("pid:").strip("[]")
    except OSError:
        return ""


def start_time(process: int) -> str | None:
    """When a process of this namespace started, in clock ticks since boot; None if it does not exist or is a zombie."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _alive_without_proc(process)
    return None if fields[0] in "ZX" else fields[19]


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
