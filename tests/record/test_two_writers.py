"""Two processes that write to one run directory: the second one's record is intact, and the first one stops."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from semisup.errors import RecordError
from semisup.record.reader import check_steps
from tests.conftest import SOAK
from tests.kill.oracles import wrong_end
from tests.preloaded import Preloaded

COMMAND = (
    *("train", "tracking=none", "plots=false", "model.widths=[4,8]", "train.epochs=16", "method=self_training"),
    *("method.gate=0", "threshold.tau=0.2", "checkpoint.every_seconds=0.2", "device=cpu", "threads=1"),
)
PROGRAM = """
import sys
from semisup.record import heartbeat
heartbeat.STALE_SECONDS, heartbeat.INTERVAL_SECONDS = 4.0, 0.5
from semisup.runner import run
run.delete_finished_states = lambda folder: None
from semisup.__main__ import main
sys.exit(main())
"""
"""The real program, with seconds in place of minutes; it keeps the last state of a finished run, to compare it."""

FOREIGN = {"host": "elsewhere", "boot": "b", "namespace": "1", "process": 7, "started": "2"}


def begin(folder: Path, *words: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"COLUMNS": "200"}
    command = [sys.executable, "-c", PROGRAM, *(words or COMMAND)]
    return Preloaded(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_directory(folder: Path, rows: int = 0) -> Path:
    """Wait for the only run of `folder` to have so many rows of metrics."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in folder.glob("outputs/runs/*/metrics.jsonl"):
            if path.read_bytes().count(b"\n") >= rows:
                return path.parent
        time.sleep(0.02)
    raise AssertionError("no run started")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    process = begin(folder)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return run_directory(folder)


@pytest.mark.parametrize("rows", range(1, 21) if SOAK else [5])
def test_deleting_the_directory_of_a_live_run_stops_it_and_the_next_run_is_intact(
    tmp_path: Path, undisturbed: Path, rows: int
) -> None:
    first = begin(tmp_path)
    run = run_directory(tmp_path, rows=rows)
    first.send_signal(19)  # SIGSTOP: it writes when the next process has begun
    shutil.rmtree(run)
    second = begin(tmp_path)
    run_directory(tmp_path, rows=rows)
    first.send_signal(18)  # SIGCONT
    said, errors = first.communicate(timeout=120)
    assert (first.returncode, "no longer holds the lock of the run" in errors, "Traceback" in errors) == (
        2,
        True,
        False,
    ), errors
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert wrong(undisturbed, run) == ""
    check_steps(run / "metrics.jsonl")


def test_live_run_of_a_host_whose_clock_is_an_hour_behind_is_not_taken_over(tmp_path: Path, undisturbed: Path) -> None:
    path = interrupted_elsewhere(tmp_path, undisturbed)
    before = {each.name: each.read_bytes() for each in path.parent.glob("*") if each.is_file() and each != path}
    ended = threading.Event()
    thread = threading.Thread(target=beat, args=(path, ended, -3600))
    thread.start()
    try:
        process = begin(tmp_path)
        _, errors = process.communicate(timeout=120)
    finally:
        ended.set()
        thread.join()
    assert process.returncode == 2
    assert "in use by process 7 on elsewhere, which is running (its heartbeat advances)" in errors
    after = {each.name: each.read_bytes() for each in path.parent.glob("*") if each.is_file() and each != path}
    after.pop("owner.lock", None)
    assert after == before


def test_run_of_a_host_that_died_is_continued_and_a_late_write_of_it_is_not_read(
    tmp_path: Path, undisturbed: Path
) -> None:
    path = interrupted_elsewhere(tmp_path, undisturbed)
    shifted = time.time() + 3600
    os.utime(path, (shifted, shifted))
    log = path.parent / "metrics.jsonl"
    with open(log, "ab", buffering=0) as late:
        process = begin(tmp_path)
        deadline = time.monotonic() + 120
        while log.stat().st_ino == os.fstat(late.fileno()).st_ino:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        late.write(b'{"step": 1, "epoch": 1, "val/accuracy": 0.0}\n')
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "in use by process 7 on elsewhere; waiting up to 4 s" in errors
    assert wrong(undisturbed, path.parent) == ""


def wrong(undisturbed: Path, run: Path) -> str:
    """What differs from a run that nothing disturbed; the code may have been edited between the two."""
    for folder in (undisturbed, run):
        for path in folder.glob("git*.diff"):
            path.unlink()
    return wrong_end(undisturbed, run)


def interrupted_elsewhere(folder: Path, undisturbed: Path) -> Path:
    """A run that was killed at its end, with the lock file of a process on another host."""
    run = folder / "outputs/runs" / undisturbed.name
    shutil.copytree(undisturbed, run)
    for name in ("summary.json", "predictions.csv"):
        (run / name).unlink()
    path = run / "owner.json"
    path.write_text(json.dumps(FOREIGN | {"nonce": "n", "heartbeat": "0" * 12}))
    return path


def beat(path: Path, ended: threading.Event, clock_error_seconds: int) -> None:
    count = 0
    while not ended.wait(0.2):
        count += 1
        with path.open("r+") as file:  # in place, as a heartbeat is written: a reader never sees an empty file
            file.write(json.dumps(FOREIGN | {"nonce": "n", "heartbeat": f"{count:012d}"}))
            file.truncate()
        shifted = time.time() + clock_error_seconds
        os.utime(path, (shifted, shifted))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: [lines[3], *lines], r"step \d+ follows step \d+ \(line 2\)"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], r"step \d+ occurs twice \(line 4\)"),
    ],
)
def test_duplicated_and_unordered_steps_are_reported_by_compare_show_and_reproduce(
    tmp_path: Path, undisturbed: Path, within: Any, change: Any, problem: str
) -> None:
    run = tmp_path / "outputs/runs" / undisturbed.name
    shutil.copytree(undisturbed, run)
    log = run / "metrics.jsonl"
    log.write_text("".join(change(log.read_text().splitlines(keepends=True))))
    with pytest.raises(RecordError, match=r"metrics\.jsonl: " + problem):
        check_steps(log)
    for words, status in (
        (("compare", "outputs/runs"), None),
        (("show", str(run)), None),
        (("reproduce", str(run)), 2),
    ):
        done = within(tmp_path, *words)
        output = done.stdout + done.stderr
        if words[0] == "compare":  # whose table folds a long reason
            output = (tmp_path / "outputs/runs/comparison.csv").read_text()
        output = " ".join(output.split())
        assert re.search(problem.split(r" \(")[0], output), (words, output)
        assert status is None or done.returncode == status
