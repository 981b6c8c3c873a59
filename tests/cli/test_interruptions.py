"""Test that Ctrl-C, a closed terminal and closed output end a command without a traceback, at any time."""

import os
import pty
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_train import QUICK, numbers, only_run, semisup
from tests.conftest import SOAK

COMMAND = (sys.executable, "-m", "semisup")
STARTED_SECONDS = 0.15
"""After which `main` runs: a signal during the start of Python itself is Python's to report."""


def first_run(folder: Path) -> Path:
    """Return the run that was trained first; the tests add reproductions beside it."""
    return min(folder.glob("outputs/runs/*/config.yaml"), key=lambda path: path.stat().st_mtime_ns).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one finished run and an image."""
    folder = tmp_path_factory.mktemp("interrupted")
    done = semisup(folder, "train", *QUICK, "plots=false")
    assert done.returncode == 0, done.stderr
    (folder / "images").mkdir()
    Image.new("L", (8, 8), 90).save(folder / "images" / "one.png")
    return folder


def interrupted(folder: Path, words: tuple[str, ...], seconds: float) -> tuple[int, str]:
    """Run a command, send SIGINT to its process group after `seconds`, and return exit status and output."""
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def program_frames(output: str) -> str:
    """Return the output, or "" if it is a traceback from the start of Python, before `main` was called."""
    return output if "semisup/__main__.py" in output or "Traceback" not in output else ""


@pytest.mark.parametrize("name", ["train", "compare", "show", "predict", "reproduce", "--help"])
def test_interrupt_at_any_time_prints_no_traceback(folder: Path, name: str) -> None:
    run = str(first_run(folder))
    words = {
        "train": ("train", *QUICK, "plots=false", "seed=5", "train.epochs=400"),
        "predict": ("predict", run, "images"),
        "reproduce": ("reproduce", run, "plots=false"),
        "compare": ("compare", run),
        "show": ("show", run),
    }.get(name, (name,))
    draw = random.Random(name)
    for _ in range(20 if SOAK else 1):
        status, output = interrupted(folder, words, STARTED_SECONDS + draw.uniform(0, 3))
        assert "Traceback" not in program_frames(output), output
        after_the_end = status == -signal.SIGINT  # the interpreter has no handler any more
        assert status in (0, 130) or after_the_end or not program_frames(output), output


IMPORT_THAT_REPLACES_THE_EXCEPTION = """
import runpy, signal, sys, types
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run in the background
class Commands(types.ModuleType):
    def __getattr__(self, name):
        if name != "run_command_line":
            raise AttributeError(name)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("a part of this library is missing")
sys.modules["semisup.cli.commands"] = Commands("semisup.cli.commands")
runpy.run_module("semisup", run_name="__main__")
"""


def test_interrupted_import_that_raises_another_exception_prints_no_traceback() -> None:
    """Interrupt the import of a library that catches KeyboardInterrupt, as some libraries do."""
    command = [sys.executable, "-c", IMPORT_THAT_REPLACES_THE_EXCEPTION]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "semisup: interrupted\n")


def test_closed_terminal_saves_the_run_and_the_same_command_continues_it(tmp_path: Path) -> None:
    """Close a real pseudo-terminal (SIGHUP); the results equal those of an uninterrupted run."""
    words = ("train", *QUICK, "plots=false", "train.epochs=30", "checkpoint.every_seconds=3600")
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.chdir(tmp_path)
        os.execv(sys.executable, [*COMMAND, *words])
    log = None
    deadline = time.monotonic() + 60
    while log is None and time.monotonic() < deadline:
        log = next((path for path in tmp_path.glob("outputs/*/*/metrics.jsonl") if path.stat().st_size > 0), None)
        time.sleep(0.02)
    assert log is not None
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 75
    assert list((log.parent / "checkpoints").glob("last-*")), "saved"
    done = semisup(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    (tmp_path / "whole").mkdir()
    assert semisup(tmp_path / "whole", *words).returncode == 0
    assert numbers(only_run(tmp_path)) == numbers(only_run(tmp_path / "whole"))


def test_hangup_is_ignored_under_nohup() -> None:
    code = (
        "from semisup.runtime.process_signals import handled_signals as h; import signal; print(signal.SIGHUP in h())"
    )
    start = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"
    for prefix, expected in ((["nohup"], "False"), ([], "True")):
        command = [sys.executable, "-c", start, *prefix, sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_output_stops_no_command(folder: Path, closed: str) -> None:
    run = first_run(folder)
    before = (run / "summary.json").read_bytes()
    command = f"exec {' '.join(COMMAND)} compare {run.parent} {closed}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (run.parent / "comparison.json").read_text().startswith("{"), "no output went into a file of ours"
    assert (run / "summary.json").read_bytes() == before


def test_full_disk_of_standard_output_is_one_line(folder: Path) -> None:
    command = f"exec {' '.join(COMMAND)} show {first_run(folder)} > /dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "semisup show: [Errno 28] No space left on device\n"
