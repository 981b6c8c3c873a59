"""Storage faults: full, limited and broken disks, clock jumps, and concurrent processes."""

import errno
import fcntl
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semisup.errors import RecordError
from semisup.record import checkpoint
from semisup.record.lock import RunLock
from semisup.record.writer import RunWriter
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from semisup.runtime import atomic_files
from semisup.runtime.atomic_files import AtomicFile
from tests.conftest import checked, toy_problem
from tests.images.zoo import in_child, passes
from tests.kill.oracles import wrong_end
from tests.record.test_record import record, snapshot
from tests.test_numbers import data_of

SMALL = (
    *("model.widths=[4,8]", "train.batch_size=6", "train.steps=9", "method=fixmatch", "method.ratio=2", "device=cpu"),
    *("train.ema_decay=0.5", "checkpoint.every_steps=2", "train.evaluate_every_steps=3", "plots=false"),
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """A function that makes the small run on synthetic data, keeps its last states and returns its directory."""
    data = data_of(toy_problem(labeled=12, unlabeled=18))
    monkeypatch.setattr(run_module, "load_data", lambda *_: data)
    monkeypatch.setattr(run_module, "delete_finished_states", lambda folder: None)

    def make(name: str, *more: str) -> Path:
        outcome = run_module.run(checked(*SMALL, f"output_root={tmp_path / name}", *more), Bars(), in_sweep=False)
        assert outcome.status == "done", outcome.message
        return outcome.folder

    return make


def interrupted(made: Callable[..., Path], name: str, after: int = 5) -> None:
    """Interrupt the same run after `after` steps, as by Ctrl-C."""
    with pytest.MonkeyPatch.context() as patch:
        train = run_module.train

        def stopping(*words: Any) -> Any:
            for event in train(*words):
                yield event
                if event.step == after and type(event).__name__ == "StepEnd":
                    raise KeyboardInterrupt

        patch.setattr(run_module, "train", stopping)
        with pytest.raises(AssertionError, match="stopped"):
            made(name)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_failing_write_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic_files.os, call, fail)
    with pytest.raises(OSError) as caught:
        atomic_files.write_atomically(tmp_path / "file", b"new", memoryview(b"er"))
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "file"))
    assert ("5 bytes are needed, " in str(caught.value)) == (number in atomic_files.FULL)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_unreadable_checkpoint_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2):
        checkpoint.save_state(tmp_path, snapshot(step, best=1), {})
    bad, real = checkpoint.newest(tmp_path, "last")[0], checkpoint.read_bytes

    def read(path: Path, most: int) -> bytes:
        if path == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, most)

    monkeypatch.setattr(checkpoint, "read_bytes", read)
    with pytest.warns(UserWarning, match="Input/output error"):
        state, _ = checkpoint.load_state(tmp_path) or ({}, {})
    assert state["step"] == 1
    assert bad.exists(), "it may come back"


def test_run_completes_without_hard_links_and_directory_fsync(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither hard links nor fsync of directories, as on exFAT or some network disks; and NFS leaves files behind."""
    reference = made("reference")
    fsync = os.fsync

    def poor(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "no fsync of folders")
        fsync(descriptor)

    def no_link(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(atomic_files.os, "fsync", poor)
    monkeypatch.setattr(atomic_files.os, "link", no_link)
    interrupted(made, "poor")
    (folder,) = (reference.parents[2] / "poor" / "runs").iterdir()
    (folder / "checkpoints" / ".nfs000000000012").write_bytes(b"still open elsewhere")
    assert made("poor") == folder
    (folder / "checkpoints" / ".nfs000000000012").unlink()
    assert wrong_end(reference, folder) == ""


def test_run_completes_without_file_locks(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    for name in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, name, refuse)
    made("run")


def test_unwritable_tracker_directory_changes_no_number(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    reference = made("reference")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "wandb").write_text("in the way: no folder can be made here")
    with pytest.warns(UserWarning, match="W&B is off for this run"):
        folder = made("full", "tracking=wandb")
    config = ["config.yaml"]
    for name in config:
        (folder / name).write_bytes((reference / name).read_bytes())
    assert wrong_end(reference, folder) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_directory_of_another_user_is_refused_before_training(open_path: Path) -> None:
    (open_path / "outputs").mkdir()
    (open_path / "outputs").chmod(0o755)

    def refused() -> None:
        assert os.geteuid() != 0
        with (
            pytest.raises(RecordError, match=r"cannot be written \(Permission denied\)"),
            record(open_path / "outputs" / "runs" / "x"),
        ):
            raise AssertionError("it began")

    assert passes(in_child(refused, user=65534))
    assert list((open_path / "outputs").iterdir()) == []


def test_of_many_processes_one_acquires_the_lock(tmp_path: Path) -> None:
    def wait_for(pattern: str, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob(pattern))) < count and time.monotonic() < deadline:
            time.sleep(0.01)

    def take() -> None:
        (tmp_path / f"ready-{os.getpid()}").touch()
        wait_for("ready-*", 8)
        try:
            RunLock(tmp_path).acquire()
        except RecordError:
            (tmp_path / f"lost-{os.getpid()}").touch()
            return
        (tmp_path / f"taken-{os.getpid()}").touch()
        wait_for("lost-*", 7)

    children = [in_child(take) for _ in range(8)]
    ended = [passes(child) for child in children]
    assert all(ended)
    assert len(list(tmp_path.glob("taken-*"))) == 1
    assert len(list(tmp_path.glob("lost-*"))) == 7


def test_concurrent_reader_gets_an_intact_checkpoint(tmp_path: Path) -> None:
    """While states are written and deleted, a reader finds one, or an error that it was deleted."""
    checkpoint.save_state(tmp_path, snapshot(1, best=1), {})

    def write() -> None:
        for step in range(2, 80):
            checkpoint.save_state(tmp_path, snapshot(step, best=step), {})

    writer, seen, gone = in_child(write), [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while os.waitid(os.P_PID, writer, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            try:
                state, _ = checkpoint.load_state(tmp_path) or ({}, {})
            except RecordError as error:
                gone.append(str(error))
                continue
            seen.append(state["step"])
    assert passes(writer)
    assert all("No such file" in said for said in gone)
    assert len(seen) > 3
    assert seen == sorted(seen)


def test_clock_jumps_and_file_times_have_no_effect(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock goes back by an hour at every call, and all file times are scrambled."""
    reference = made("reference")
    interrupted(made, "jumping")
    folder = next((reference.parents[2] / "jumping" / "runs").iterdir())
    states = checkpoint.newest(folder / "checkpoints", "last")
    assert len(states) == 2
    for age, path in enumerate(reversed([path for path in sorted(folder.rglob("*")) if path.is_file()])):
        os.utime(path, (2**31 + 10_000 * age, 2**31 + 10_000 * age))  # beyond 2038 too
    assert states[0].stat().st_mtime < states[1].stat().st_mtime, "by their times the older one would be taken"
    now = iter(range(4 * 10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    began: list[int] = []
    train = run_module.train
    monkeypatch.setattr(run_module, "train", lambda *given: began.append(given[2].step) or train(*given))
    assert made("jumping") == folder
    assert began == [4]
    assert wrong_end(reference, folder) == ""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(value >= 0 for row in rows for key, value in row.items() if key.endswith("_seconds"))
    assert json.loads((folder / "run.json").read_text())["seconds"] >= 0


def test_unwritable_status_does_not_hide_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def run() -> None:
        with RunWriter(tmp_path / "run", {}, {}):
            monkeypatch.setattr("semisup.record.locked_directory.write_json", full)
            raise ValueError("the error itself")

    with (
        pytest.warns(UserWarning, match="the status of the run could not be written"),
        pytest.raises(ValueError, match="the error itself"),
    ):
        run()
    assert not (tmp_path / "run" / "owner.json").exists()


def test_file_that_cannot_be_created_is_reported_by_its_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file or directory") as caught, AtomicFile(tmp_path / "gone"):
        pass
    assert caught.value.filename == str(tmp_path / "gone")
