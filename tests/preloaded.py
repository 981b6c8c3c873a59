"""Start `python -m ...` as a fork of a process that has imported semisup: 0.1 s of CPU time in place of 3 s of imports.

    Preloaded(command, ...)    in place of subprocess.Popen(command, ...)
    run(command, ...)          in place of subprocess.run(command, ...)

What is started is a process of its own, with its own number, files, environment, signals and exit status, and it ends
as an interpreter ends. The processes that a sweep, joblib or torchrun starts are forked in the same way, and so is the
worker of a sweep that runs in the process of the tests (`forked_workers` in conftest.py). Tests of imports, of the
interpreter, of variables that libraries read while they are imported, and of the current directory on sys.path start a
new interpreter.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
NEW_WORKERS = "SEMISUP_TESTS_NEW_WORKERS"
"""Environment variable with which the workers of joblib are new interpreters."""

ADDRESS = "SEMISUP_TESTS_SERVER"
"""Environment variable with the socket of the server that the processes of tests share."""

_address = os.environ.get(ADDRESS, "")
"""The socket of the server; "" in a process of tests that has not started it."""


class Preloaded(subprocess.Popen):  # type: ignore[type-arg]
    """A `subprocess.Popen` whose child is forked by the server and waited for through it."""

    _status: socket.socket

    def _execute_child(self, args: Any, *rest: Any) -> None:
        _, preexec, _, pass_fds, cwd, env, _, _, shell, *pipes, _, _, _, _, _, new_session, _ = rest
        words = [os.fspath(word) for word in args]
        assert (words[0], preexec, tuple(pass_fds), shell) == (sys.executable, None, (), False)
        standard = [pipe if pipe != -1 else number for number, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        environment = dict(os.environ if env is None else env)
        self.pid, self._status = _fork(words[1:], standard, environment, cwd=os.fspath(cwd or "."), session=new_session)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if flags & os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        status = int.from_bytes(_receive(self._status, 4), "big")
        self._status.close()
        return self.pid, status

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and self._child_created:
            with self._waitpid_lock:  # type: ignore[attr-defined]
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def _fork(
    words: list[str],
    standard: list[int],
    environment: dict[str, str],
    *,
    cwd: str = ".",
    session: bool = False,
    kept: list[int] | None = None,
) -> tuple[int, socket.socket]:
    """Have the server fork a child.

    Args:
        words: the arguments of the interpreter.
        standard: descriptors of its standard streams.
        environment: all of its environment.
        cwd: its current directory.
        session: whether it starts a session.
        kept: descriptors that are open in the child under the same numbers.

    Returns:
        Its process ID, and the socket from which its status can be read when it has ended.
    """
    kept = kept or []
    request = {
        "words": words,
        "cwd": os.path.abspath(cwd),
        "environment": environment,
        "session": session,
        "kept": kept,
        "mask": [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        "ignored": [each for each in _SIGNALS if signal.getsignal(each) is signal.SIG_IGN],
    }
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_server())
    data = json.dumps(request).encode()
    socket.send_fds(connection, [len(data).to_bytes(4, "big")], [*standard, *kept])
    connection.sendall(data)
    return int.from_bytes(_receive(connection, 4), "big"), connection


def run(
    command: list[str], *, capture_output: bool = False, timeout: float, check: bool = False, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, as `subprocess.run` does."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Preloaded(command, **options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


_loky: dict[int, socket.socket] = {}
"""Workers of joblib that this process started -> the socket of their status."""


def _fork_worker(command: list[str], kept: list[int], env: dict[str, str] | None = None) -> int:
    """Fork a worker process of joblib; in place of loky's `fork_exec`."""
    environment = os.environ | (env or {})
    pid, connection = _fork(command[1:], [0, 1, 2], dict(environment), kept=sorted({int(each) for each in kept}))
    _loky[pid] = connection
    return pid


def _poll_worker(process: Any, flag: int = os.WNOHANG) -> int | None:
    """Return the exit status of a worker of joblib; in place of the `poll` of loky's `Popen`."""
    connection = _loky.get(process.pid)
    if connection is not None and (not flag or select.select([connection], [], [], 0)[0]):
        process.returncode = os.waitstatus_to_exitcode(int.from_bytes(_receive(connection, 4), "big"))
        _loky.pop(process.pid).close()
    returncode: int | None = process.returncode
    return returncode


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def _server() -> str:
    """Return the socket of the server, which is started if this process of tests has none."""
    global _address
    _address = _address or start_server()
    return _address


def start_server() -> str:
    """Start a server, which ends with this process; returns its socket."""
    path = os.path.join(tempfile.mkdtemp(prefix="preloaded-"), "socket")
    command = [sys.executable, "-m", "tests.preloaded", path]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, start_new_session=True)
    assert server.stdout is not None
    assert server.stdout.readline() == b"listening\n"
    server.stdout.close()
    atexit.register(_stop, server)
    return path


def _stop(server: "subprocess.Popen[bytes]") -> None:
    assert server.stdin is not None
    server.stdin.close()  # it kills what still runs, and ends
    server.wait(timeout=30)


def _receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the process that forks has ended")
        data += part
    return data


# The server -----------------------------------------------------------------------------------------------------------


class Request(NamedTuple):
    """What a child is asked to be; descriptors: its standard streams, then those of fields["kept"]."""

    fields: dict[str, Any]
    descriptors: list[int]


def serve(path: str) -> Request | None:
    """Fork a child for each connection and report its number, then its status.

    Returns:
        The request in a child, None when the process of tests has ended.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    os.write(1, b"listening\n")  # who connects waits until everything is imported
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    _import_everything()
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)  # the process of tests
    selector.register(listener, selectors.EVENT_READ)
    children: dict[int, tuple[int, socket.socket]] = {}  # descriptor -> process, connection
    gc.collect()
    gc.freeze()
    while True:
        for key, _ in selector.select():
            if key.fd == 0:
                for pid, _connection in children.values():
                    os.kill(pid, signal.SIGKILL)
                os.unlink(path)
                os.rmdir(os.path.dirname(path))
                return None
            if key.fd in children:
                selector.unregister(key.fd)
                pid, connection = children.pop(key.fd)
                os.close(key.fd)
                status = os.waitpid(pid, 0)[1]
                with contextlib.suppress(OSError):  # whoever asked has ended
                    connection.sendall(status.to_bytes(4, "big"))
                connection.close()
                continue
            connection, _ = listener.accept()
            try:
                head, descriptors, _, _ = socket.recv_fds(connection, 4, 64)
                fields = json.loads(_receive(connection, int.from_bytes(head, "big")))
            except (OSError, ValueError):  # whoever asked was killed meanwhile
                connection.close()
                continue
            pid = os.fork()
            if pid == 0:
                selector.close()
                listener.close()
                connection.close()
                for descriptor, (_, other) in children.items():
                    os.close(descriptor)
                    other.close()
                return Request(fields, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            with contextlib.suppress(OSError):
                connection.sendall(pid.to_bytes(4, "big"))
            descriptor = os.pidfd_open(pid)
            children[descriptor] = pid, connection
            selector.register(descriptor, selectors.EVENT_READ)


def _import_everything() -> None:
    """Import what a process of semisup imports sooner or later; nothing here may start a thread."""
    import semisup

    for module in pkgutil.walk_packages(semisup.__path__, "semisup."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in (
        *("hydra._internal.hydra", "hydra._internal.core_plugins.basic_launcher", "matplotlib.backends.backend_agg"),
        *("sklearn.datasets", "sklearn.linear_model", "sklearn.neighbors"),
        *("torch.distributed.run", "torch.profiler", "joblib.externals.loky.process_executor"),
    ):
        importlib.import_module(name)
    from semisup.config.compose import defaults
    from semisup.record.environment import git_diff, source_digest
    from semisup.runtime.timm_compat import import_timm
    from tests import yaml_cache

    yaml_cache.install()
    defaults([])  # Hydra finds its plugins, and the YAMLs of the default config are parsed
    sys.modules["wandb"] = None  # type: ignore[assignment]  # timm imports it where it is installed; semisup does not
    import_timm("encoder", "timm")  # 2 s
    del sys.modules["wandb"]
    git_diff()
    source_digest()


def become(request: Request) -> None:
    """Turn this child into what was asked for, and run it to its end."""
    import torch
    from joblib.externals.loky.backend import fork_exec, popen_loky_posix
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    from semisup.sweep import worker_process

    fields = request.fields
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD, 256) for each in request.descriptors]  # out of the way of their numbers
    for descriptor in request.descriptors:
        os.close(descriptor)
    for number, descriptor in zip((0, 1, 2, *fields["kept"]), moved, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if fields["session"]:
        os.setsid()
    else:
        os.setpgid(0, 0)
    os.chdir(fields["cwd"])
    os.environ.clear()
    os.environ.update(fields["environment"])
    tempfile.tempdir = None  # of the environment, as in a new interpreter
    _open_standard_streams(os.environ.get("PYTHONIOENCODING", "utf-8"))
    for each in fields["ignored"]:
        signal.signal(each, signal.SIG_IGN)
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    worker_process.subprocess = Forked  # type: ignore[assignment]
    subprocess_handler.Popen = Preloaded  # type: ignore[misc]
    if NEW_WORKERS not in os.environ:
        fork_exec.fork_exec, popen_loky_posix.Popen.poll = _fork_worker, _poll_worker
    signal.pthread_sigmask(signal.SIG_SETMASK, fields["mask"])
    flag, program, *words = (word for word in fields["words"] if word != "-u")
    sys.argv = [program if flag == "-m" else flag, *words]
    if signal.SIGINT not in fields["ignored"]:  # until here it ends the process, as while Python itself starts
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if flag == "-m":
        warnings.filterwarnings("ignore", r".*found in sys\.modules", RuntimeWarning)  # here it is imported already
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        assert flag == "-c", fields["words"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(program, "<string>", "exec"), vars(sys.modules["__main__"]))


def _open_standard_streams(encoding: str) -> None:
    """Open them as an interpreter does; those of the server belong to other files."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        errors, buffering = ("backslashreplace", 1) if name == "stderr" else ("strict", -1)
        stream = open(number, mode, buffering, encoding, errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


class Forked:
    """The names that `worker_process` uses of the module subprocess; its worker is forked by the server."""

    Popen, PIPE = Preloaded, subprocess.PIPE


def end(status: int) -> None:
    """End as an interpreter does, but free no objects: that would copy all memory that this child shares.

    Extension modules report at that time what they have not freed; a new interpreter would not have imported them.

    Args:
        status: exit status, or minus the number of the signal by which the process ends.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        os._exit(status)
    sys.exit(status)  # the interpreter reports the stream that cannot be written


if __name__ == "__main__":
    asked = serve(sys.argv[1])
    if asked is not None:
        _address = sys.argv[1]  # the workers of a sweep are forked by the same server
        status = 0
        try:
            become(asked)
        except SystemExit as exit_:
            status = (exit_.code or 0) if isinstance(exit_.code, int | None) else 1
            if not isinstance(exit_.code, int | None):
                with contextlib.suppress(OSError):
                    print(exit_.code, file=sys.stderr)
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        end(status)
