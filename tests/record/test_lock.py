"""The lock of a run directory: one holder at a time, and takeover only from holders that are gone."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semisup.core.events import EvalEnd
from semisup.errors import InUseError, LockLostError, RecordError
from semisup.record import heartbeat
from semisup.record.lock import RunLock
from semisup.record.lock_holder import HolderState, holder_state
from semisup.record.locked_directory import LockedDirectory
from semisup.record.reader import read_json
from semisup.record.writer import RunWriter
from semisup.runtime.liveness import pid_namespace, this_process

FOREIGN = {"host": "elsewhere", "boot": "b", "namespace": "1", "process": 1, "started": "2"}
ACQUIRE = """
import sys
from pathlib import Path
from semisup.record.lock import RunLock
RunLock(Path(sys.argv[1])).acquire()
"""


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds in place of minutes, and no observations of other tests."""
    monkeypatch.setattr(heartbeat, "STALE_SECONDS", 1.0)
    monkeypatch.setattr(heartbeat, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(heartbeat, "_observations", {})


def write_lock(folder: Path, process: dict[str, Any], count: int = 0) -> Path:
    """Write a lock file: a new one, or its heartbeat (`count` > 0) in place."""
    path = folder / "owner.json"
    if count == 0:
        path.unlink(missing_ok=True)
    with open(path, "r+" if count else "w") as file:
        file.write(json.dumps({**process, "nonce": "n", "heartbeat": f"{count:012d}"}))
    return path


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_second_process_is_refused_and_a_dead_local_holder_is_replaced_at_once(tmp_path: Path) -> None:
    first = RunLock(tmp_path)
    first.acquire()
    with pytest.raises(InUseError, match=rf"in use by process {os.getpid()} on \S+$"):
        RunLock(tmp_path).acquire()
    first.release()
    assert list(tmp_path.iterdir()) == []
    subprocess.run([sys.executable, "-c", ACQUIRE, str(tmp_path)], check=True, timeout=60)
    assert (tmp_path / "owner.json").exists(), "it ended without a release"
    assert holder_state(tmp_path)[0] is HolderState.GONE
    started = time.monotonic()
    RunLock(tmp_path).acquire()
    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize("clock_error_seconds", [-7200, 3600])
def test_foreign_holder_is_in_use_while_its_heartbeat_advances_whatever_its_clock(
    tmp_path: Path, clock_error_seconds: int
) -> None:
    path, ended = write_lock(tmp_path, FOREIGN), threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(0.05):
            count += 1
            write_lock(tmp_path, FOREIGN, count)
            shifted = time.time() + clock_error_seconds
            os.utime(path, (shifted, shifted))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(InUseError, match="in use by process 1 on elsewhere, which is running"):
            RunLock(tmp_path).acquire()
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("clock_error_seconds", [-7200, 0, 3600])
def test_foreign_holder_is_replaced_after_its_heartbeat_has_stopped_for_the_observers_own_time(
    tmp_path: Path, clock_error_seconds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lock(tmp_path, FOREIGN)
    shifted = time.time() + clock_error_seconds
    os.utime(path, (shifted, shifted))
    assert holder_state(tmp_path)[0] is HolderState.UNKNOWN
    started = time.monotonic()
    RunLock(tmp_path).acquire()
    assert 1.0 <= time.monotonic() - started < 3
    assert (read_json(path) or {})["process"] == os.getpid()
    said = capsys.readouterr().err
    assert said == f"{tmp_path}: in use by process 1 on elsewhere; waiting up to 1 s for its heartbeat\n"


def test_terminal_shows_one_line_that_counts_down_and_is_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heartbeat, "STALE_SECONDS", 2.0)
    write_lock(tmp_path, FOREIGN)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    RunLock(tmp_path).acquire()
    said = capsys.readouterr().err
    assert "\n" not in said
    assert [f"up to {seconds} s" in said for seconds in (2, 1)] == [True, True]
    assert said.split("\r")[-2].strip() == ""


def test_waiting_for_many_stale_runs_of_a_sweep_takes_as_long_as_for_one(tmp_path: Path) -> None:
    folders = [tmp_path / f"run-{number}" for number in range(6)]
    for folder in folders:
        folder.mkdir()
        write_lock(folder, FOREIGN)
    started = time.monotonic()
    for folder in folders:
        RunLock(folder).acquire()
    assert time.monotonic() - started < 2.5


def test_holder_in_another_pid_namespace_is_not_taken_for_dead(tmp_path: Path) -> None:
    """Its process numbers are of another namespace, where 1 is another process."""
    container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*container, "true"], capture_output=True).returncode != 0:
        pytest.skip("no namespaces may be made here")
    code = f"{ACQUIRE}\nprint('acquired', flush=True); import time; time.sleep(60)"
    with subprocess.Popen([*container, sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"acquired\n"
            with pytest.raises(InUseError, match=r"in use by process 1 on \S+, which locks owner\.lock"):
                RunLock(tmp_path).acquire()
            assert json.loads((tmp_path / "owner.json").read_text())["namespace"] != pid_namespace()
        finally:
            process.kill()

    def acquired() -> bool:
        try:
            RunLock(tmp_path).try_acquire()
        except InUseError as error:
            waits.append(error.stale_in_seconds)
            return False
        return True

    waits: list[float | None] = []
    wait_until(acquired)  # the namespace takes a moment to end
    assert set(waits) <= {None}, "owner.lock tells whether the holder is alive"


def test_lock_file_of_version_0_1_0_has_its_modification_time_as_heartbeat(tmp_path: Path) -> None:
    path, ended = tmp_path / "owner.json", threading.Event()
    path.write_text(json.dumps(FOREIGN))

    def beat() -> None:
        while not ended.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(InUseError, match="its heartbeat advances"):
        RunLock(tmp_path).acquire()
    ended.set()
    thread.join()


def test_reused_process_number_is_not_the_holder(tmp_path: Path) -> None:
    RunLock(tmp_path).acquire()
    write_lock(tmp_path, this_process() | {"started": "1"})
    RunLock(tmp_path).acquire()


def test_heartbeat_that_advances_during_the_takeover_keeps_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock file is put back as the same inode, so that later heartbeats of its holder are seen."""
    path = write_lock(tmp_path, FOREIGN)
    inode = path.stat().st_ino
    lock = RunLock(tmp_path)
    monkeypatch.setattr(lock, "_raise_unless_stale", lambda *_, **__: write_lock(tmp_path, FOREIGN, 1))
    with pytest.raises(InUseError, match="in use by process 1 on elsewhere"):
        lock.try_acquire()
    assert path.stat().st_ino == inode
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".tmp"] == []


def test_only_the_holder_removes_the_lock_file(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    lock.acquire()
    write_lock(tmp_path, FOREIGN)
    lock.release()
    assert (tmp_path / "owner.json").exists()


def test_heartbeat_advances_and_a_run_that_was_taken_over_is_not_written_to(tmp_path: Path) -> None:
    with (
        pytest.raises(LockLostError, match="no longer holds the lock of the run"),
        RunWriter(tmp_path, {}, {"id": "a"}) as record,
    ):
        path = tmp_path / "owner.json"
        wait_until(lambda: int((read_json(path) or {})["heartbeat"]) > 1)
        write_lock(tmp_path, FOREIGN)
        (tmp_path / "run.json").write_text("{}")
        wait_until(lambda: record.directory.lock.lost)
        record.write_event(EvalEnd(1, 0, {"val/accuracy": 0.5}, True))
    assert (read_json(tmp_path / "run.json"), path.exists()) == ({}, True), "both are the other process's"
    assert not (tmp_path / "metrics.jsonl").exists()


def test_no_write_reaches_a_directory_that_was_created_under_the_same_name(tmp_path: Path) -> None:
    folder = tmp_path / "outputs/runs/x"
    with pytest.raises(LockLostError), RunWriter(folder, {}, {"id": "a"}) as record:
        record.write_event(EvalEnd(1, 1, {"val/accuracy": 0.1}, True))
        shutil.rmtree(folder)
        folder.mkdir()
        for write in (
            lambda: record.write_event(EvalEnd(2, 2, {"val/accuracy": 0.2}, True)),
            lambda: record.save({"step": 2, "best": None}),
            lambda: record.write_plots(lambda _: {}),
            lambda: record.set_dataset({"fingerprint": "f", "classes": ["one"]}, {}, []),
        ):
            with pytest.raises(LockLostError):
                write()
        record.metrics.append("late\n")  # between the check and the write
        with pytest.raises(OSError):
            record.pseudo_labels.append("late\n")
        record.directory.lock.assert_held()
    assert list(folder.iterdir()) == []


def test_late_line_of_a_holder_that_was_taken_over_is_in_no_file_that_is_read(tmp_path: Path) -> None:
    with pytest.raises(LockLostError), RunWriter(tmp_path, {}, {"id": "a"}) as first:
        first.write_event(EvalEnd(1, 1, {"val/accuracy": 0.1}, True))
        first.save({"step": 1, "best": None})
        write_lock(tmp_path, this_process() | {"started": "1"})  # as if the first process were dead
        with RunWriter(tmp_path, {}, {"id": "a"}) as second:
            assert second.resume() is not None
            first.metrics.append('{"step": 9}\n')
            assert [row["step"] for row in second.read_metrics()] == [1]
            first.directory.lock.assert_held()


def test_lock_is_acquired_where_the_directory_cannot_be_locked_with_flock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(38, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = RunLock(tmp_path)
    lock.acquire()
    assert (read_json(tmp_path / "owner.json") or {})["locked_inode"] is None
    with pytest.raises(RecordError, match="in use"):
        RunLock(tmp_path).acquire()
    lock.release()


@pytest.mark.parametrize("write", ["write", "write_json"])
def test_file_is_not_replaced_by_a_holder_that_is_taken_over_while_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    directory = LockedDirectory(tmp_path / "outputs" / "run")
    directory.acquire("checkpoints")
    directory.write("state.json", b"old")
    fsync = os.fsync

    def taken_over(descriptor: int) -> None:
        fsync(descriptor)
        directory.lock.path.write_text("{}")

    monkeypatch.setattr(os, "fsync", taken_over)
    with pytest.raises(LockLostError):
        directory.write("state.json", b"new") if write == "write" else directory.write_json("state.json", {"a": 1})
    monkeypatch.undo()
    assert (directory.folder / "state.json").read_bytes() == b"old"
    directory.release()
