"""Run `semisup` as on a system that has none of what only Unix or only Linux provides.

    python -m tests.other_platform train ...     in place of python -m semisup train ...

Missing are: the modules fcntl, resource, pwd, grp and termios; os.fork and further functions and flags of os; all
signals but SIGINT and SIGTERM, timers and signal masks; select.poll; /proc and /sys; the start methods of processes but
`spawn`. As on Windows, a file that is open is neither deleted nor replaced (below the current directory). The package
is imported anew without all this; other packages are not, because they support other systems themselves. Paths, and the
locks of filelock, remain those of this system.
"""

import importlib
import multiprocessing.context
import multiprocessing.spawn
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
OS_NAMES = (
    *("fork", "forkpty", "register_at_fork", "sched_getaffinity", "sched_setaffinity", "getuid", "geteuid", "getgid"),
    *(
        "uname",
        "sysconf",
        "statvfs",
        "fstatvfs",
        "pread",
        "preadv",
        "pwrite",
        "pwritev",
        "sendfile",
        "killpg",
        "setsid",
    ),
    *("O_CLOEXEC", "O_DIRECTORY", "O_NONBLOCK", "O_NOCTTY", "O_NOFOLLOW", "mkfifo", "getloadavg", "nice"),
)
SIGNAL_NAMES = (
    *(
        "SIGHUP",
        "SIGUSR1",
        "SIGUSR2",
        "SIGPROF",
        "SIGKILL",
        "SIGPIPE",
        "SIGSTOP",
        "SIGALRM",
        "setitimer",
        "ITIMER_PROF",
    ),
    *("alarm", "pause", "pthread_sigmask", "pthread_kill", "sigwait"),
)


IMPORTED_FIRST = ("filelock", "numpy", "multiprocessing.popen_spawn_posix", "multiprocessing.resource_tracker")
"""Modules that choose by the system what they import, in all processes."""


def block() -> None:
    """Remove from this process what other systems do not have."""
    for name in IMPORTED_FIRST:
        importlib.import_module(name)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in ("fork", "forkpty", "register_at_fork"):
        vars(os).pop(name, None)
    os.supports_dir_fd = os.supports_fd = set()
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    _hide_proc()
    for name in ("replace", "rename", "unlink", "remove"):
        setattr(os, name, _refused_if_open(getattr(os, name)))
    for module, names in ((os, OS_NAMES), (signal, SIGNAL_NAMES), (select, ("poll",))):
        sys.modules[module.__name__] = _without(module, names)  # for modules that are imported from now on
    contexts: Any = multiprocessing.context
    contexts._concrete_contexts = {"spawn": contexts._concrete_contexts["spawn"]}
    multiprocessing.get_all_start_methods = lambda: ["spawn"]
    multiprocessing.set_start_method("spawn", force=True)
    command_line: Any = multiprocessing.spawn.get_command_line
    multiprocessing.spawn.get_command_line = lambda **words: _blocked(command_line(**words))


def _without(module: types.ModuleType, names: tuple[str, ...]) -> types.ModuleType:
    copy = types.ModuleType(module.__name__, module.__doc__)
    vars(copy).update({name: value for name, value in vars(module).items() if name not in names})
    return copy


def _blocked(command: list[str]) -> list[str]:
    """Block the same in a process that multiprocessing starts."""
    position = command.index("-c") + 1
    code = f"from tests.other_platform import block; block(); {command[position]}"
    return [*command[:position], code, *command[position + 1 :]]


def _hide_proc() -> None:
    def absent(path: Any) -> bool:
        return os.fspath(path).startswith(("/proc", "/sys"))

    path_class: Any = pathlib.Path
    for name, answer in (("exists", False), ("is_dir", False), ("is_file", False)):
        plain = getattr(path_class, name)
        setattr(
            path_class,
            name,
            lambda self, *rest, _plain=plain, _answer=answer: _answer if absent(self) else _plain(self, *rest),
        )
    opened, link = path_class.open, os.readlink

    def open_path(self: Any, *words: Any, **more: Any) -> Any:
        if absent(self):
            raise FileNotFoundError(2, "No such file or directory", str(self))
        return opened(self, *words, **more)

    def read_link(path: Any, **more: Any) -> Any:
        if os.fspath(path) == "/proc/self/ns/pid":
            raise FileNotFoundError(2, "No such file or directory", path)
        return link(path, **more)

    path_class.open, os.readlink = open_path, read_link


def _refused_if_open(call: Callable[..., None]) -> Callable[..., None]:
    here, listdir, link = os.path.realpath(os.curdir), os.listdir, os.readlink

    def checked(*paths: Any, **more: Any) -> None:
        targets = {os.path.realpath(path) for path in paths}
        for number in listdir("/proc/self/fd"):
            try:
                opened = link(f"/proc/self/fd/{number}")
            except OSError:
                continue
            if opened in targets and opened.startswith(here + os.sep) and os.path.isfile(opened):
                error = PermissionError(13, "The process cannot access the file because it is being used", paths[0])
                error.winerror = 32  # type: ignore[attr-defined]
                raise error
        call(*paths, **more)

    return checked


def main() -> int:
    forked: Any = None  # starts the worker of a sweep, if this process was forked itself (tests/preloaded.py)
    for name in [name for name in sys.modules if name.split(".")[0] == "semisup"]:
        module: Any = sys.modules.pop(name)
        if name == "semisup.sweep.worker_process" and module.subprocess is not subprocess:
            forked = module.subprocess
    for name in ("torch", "sklearn.datasets", "hydra", "rich.progress"):
        importlib.import_module(name)
    block()
    from semisup.sweep import worker_process

    if forked is not None:
        worker_process.subprocess = forked
    worker_process.COMMAND = (sys.executable, "-m", "tests.other_platform", "_sweep-worker")  # type: ignore[assignment]
    from semisup.__main__ import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
