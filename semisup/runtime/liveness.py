"""Identify processes in files such as lock files, and determine whether such a process is still running.

A process is identified by host, boot, PID namespace, process id and start time, because process ids are reused and
containers have process ids of their own. Start times are read from /proc on Linux, and with psutil on other systems.
"""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """Return data that identify this process: host, boot id, PID namespace, process id and start time."""
    process = os.getpid()
    here = {"host": socket.gethostname(), "boot": boot_id(), "namespace": pid_namespace()}
    return here | {"process": process, "started": start_time(process)}


def is_local(other: dict[str, Any]) -> bool:
    """Whether another process has the same host, boot and PID namespace as this process.

    Args:
        other: result of `this_process` in the other process; if it has no PID namespace, that of this process is
            assumed.
    """
    mine = {"host": socket.gethostname(), "boot": boot_id(), "namespace": pid_namespace()}
    return mine == {key: other.get(key, pid_namespace() if key == "namespace" else None) for key in mine}


def is_alive(other: dict[str, Any]) -> bool:
    """Whether another process is still running.

    Args:
        other: result of `this_process` in the other process, for which `is_local` must be true.
    """
    return start_time(other.get("process", 0)) == other.get("started")


@cache
def boot_id() -> str:
    """Return the id that the kernel draws at each boot; "" if the system has none."""
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
    """Return the time at which a process of this PID namespace started.

    Args:
        process: process id.

    Returns:
        Clock ticks since boot or, without /proc, milliseconds since 1970. None if the process does not exist or is a
        zombie.
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
