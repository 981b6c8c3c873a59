"""A preloaded process is to a test what a new interpreter is."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import preloaded
from tests.preloaded import Preloaded

STARTERS: list[Any] = [subprocess.Popen, Preloaded]
HOW_IT_ENDS = [
    "pass",
    "import sys; sys.exit(3)",
    "import sys; sys.exit('a reason')",
    "raise KeyError('a bug')",
    "import os; os._exit(7)",
    "import os; os.kill(os.getpid(), 9)",
    "raise KeyboardInterrupt",
    "import atexit, sys; atexit.register(print, 'at exit'); sys.exit(2)",
    "import os, signal; print(os.environ['PLANTED'], os.getcwd(), signal.pthread_sigmask(0, []))",
    "import signal; print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE))",
    "import sys, threading; print(threading.active_count(), __name__, sys.modules['__main__'].__dict__ is globals())",
    "import sys; print(sys.argv, sys.stdin.read()); print('error', file=sys.stderr)",
    "import tempfile; print(tempfile.gettempdir())",
    "import sys; print([(s.encoding, s.errors) for s in (sys.stdin, sys.stdout, sys.stderr)])",
    "import sys; print('é', file=sys.stderr); print('é')",
]


@pytest.mark.parametrize(
    ("program", "encoding"), [*((program, "utf-8") for program in HOW_IT_ENDS), (HOW_IT_ENDS[-1], "ascii")]
)
def test_end_and_surroundings_are_those_of_a_new_interpreter(tmp_path: Path, program: str, encoding: str) -> None:
    def run(start: Callable[..., Any]) -> tuple[int, str, list[str]]:
        pipe = subprocess.PIPE
        environment = os.environ | {"PLANTED": "é", "PYTHONIOENCODING": encoding, "TMPDIR": str(tmp_path)}
        command = [sys.executable, "-c", program, "one", "two words"]
        with start(command, cwd=tmp_path, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            output, errors = process.communicate("input\n", timeout=60)
        return process.returncode, output, [line for line in errors.splitlines() if not line.startswith("  ")]

    new, forked = (run(start) for start in STARTERS)
    assert forked == new


def test_signal_ends_it_and_its_number_is_the_one_that_was_reported() -> None:
    program = "import os, time; print(os.getpid(), os.getsid(0), flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program]
    with Preloaded(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout.readline().split() == [str(process.pid)] * 2
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == -signal.SIGTERM


def test_process_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    program = "import pathlib, time; time.sleep(3); pathlib.Path('late').touch()"
    with pytest.raises(subprocess.TimeoutExpired):
        preloaded.run([sys.executable, "-c", program], cwd=tmp_path, timeout=0.5)
    time.sleep(3)
    assert not [*tmp_path.iterdir()]


def test_server_survives_a_process_that_is_killed_while_it_asks() -> None:
    preloaded.run([sys.executable, "-c", "pass"], timeout=60)
    for data in (b"", (100).to_bytes(4, "big"), (2).to_bytes(4, "big") + b"{]"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(preloaded._server())
            connection.sendall(data)
    assert preloaded.run([sys.executable, "-c", "raise SystemExit(5)"], timeout=60).returncode == 5
