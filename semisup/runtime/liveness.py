"""Describe processes in files (such as lock files), and determine whether such a process is still running.

A process id is not enough: ids are reused, and two containers with the same host name have the same ids for different
processes. So a process is identified by host, boot, PID namespace, id and start time. Whether it is alive can only be
determined for a process in the PID namespace of this process. Linux tells this in /proc, other systems through psutil.
"""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Describe this process as plain data: host, boot id, PID namespace, process id, start time."""
    process = os.getpid()
    here = {"host": socket.gethostname(), "boot": boot_id(), "namespace": pid_namespace()}
    return here | {"process": process, "started": start_time(process)}


def is_local(other: dict[str, Any]) -> bool:
    """Whether another process runs on the same host, boot and PID namespace as this process.

    Args:
        other: result of `this_process` in the other process. Version 0.1.0 did not record the namespace; then it is
            assumed to be the same.
    """
    mine = {"host": socket.gethostname(), "boot": boot_id(), "namespace": pid_namespace()}
    return mine == {key: other.get(key, pid_namespace() if key == "namespace" else None) for key in mine}


def is_alive(other: dict[str, Any]) -> bool:
    """Whether another process is still running.

    Args:
        other: a process for which `is_local` is true.
    """
    return start_time(other.get("process", 0)) == other.get("started")


@cache
def boot_id() -> str:
    """Return the id of the present boot of the kernel; "" if the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Return the id of the PID namespace of this process; "" if the system has only one."""
    try:
        return os.readlink("/proc/self/ns/pid").removeprefix("pid:").strip("[]")
    except OSError:
        return ""


def start_time(process: int) -> str | None:
    """Return the time at which a process of this PID namespace started, in clock ticks since boot.

    Without /proc, it is in milliseconds since 1970. Return None if the process does not exist or is a zombie.
    """
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self").exists() else _start_time_without_proc(process)
    return None if fields[0] in "ZX" else fields[19]


def _start_time_without_proc(process: int) -> str | None:
    import psutil

    try:
        found = psutil.Process(process)
        return None if found.status() == psutil.STATUS_ZOMBIE else str(round(found.create_time() * 1000))
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return None
    except psutil.AccessDenied:  # a process of another user
        return "running"
