"""Test atomic writes: a file is written completely or not at all."""

import errno
import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from semisup.runtime import atomic_files, temporary_files
from semisup.runtime.atomic_files import AtomicFile, write_atomically
from semisup.runtime.liveness import start_time
from semisup.runtime.temporary_files import remove_stale_temporary_files
from tests.images.zoo import in_child, passes


def test_writes_all_chunks_in_order_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"one", memoryview(b"two"), b"", b"x" * 2**20)
    assert path.read_bytes() == b"onetwo" + b"x" * 2**20
    write_atomically(path)
    assert path.read_bytes() == b""
    assert os.listdir(tmp_path) == ["file"]


def test_file_mode_follows_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    write_atomically(tmp_path / "file", b"x")
    os.umask(umask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "EIO"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_failed_write_leaves_only_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(atomic_files.os, call, fail)
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize(("chunk", "where"), [(2**17, ""), (600, "/file")], ids=["in a chunk", "at the end"])
def test_full_disk_error_names_the_path_and_leaves_no_file(tmp_path: Path, chunk: int, where: str) -> None:
    def write() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(OSError, match=r"bytes are needed") as failed, AtomicFile(tmp_path) as file:
            file.write(b"x" * chunk)
            file.write(b"x" * chunk)
            file.commit(tmp_path / "file")
        assert failed.value.filename == f"{tmp_path}{where}"

    assert passes(in_child(write))
    assert os.listdir(tmp_path) == []


def test_full_disk_leaves_no_file(tmp_path: Path) -> None:
    def write() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(OSError):
            write_atomically(tmp_path / "file", b"x" * 2000)

    assert passes(in_child(write))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("number", "tolerated"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_file_systems_without_fsync_of_folders_are_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, tolerated: bool
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, "no")
        real(descriptor)

    monkeypatch.setattr(atomic_files.os, "fsync", fsync)
    if tolerated:
        write_atomically(tmp_path / "file", b"new")
    else:
        with pytest.raises(OSError):
            write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_syncs_the_file_before_the_rename_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        calls.append("sync folder" if target == str(tmp_path) else "sync file")
        assert calls[-1] == "sync folder" or os.path.getsize(target) == 3
        fsync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        calls.append("rename")
        assert source.parent == target.parent
        replace(source, target)

    monkeypatch.setattr(atomic_files.os, "fsync", note_fsync)
    monkeypatch.setattr(atomic_files.os, "replace", note_replace)
    write_atomically(tmp_path / "file", b"new")
    assert calls == ["sync file", "rename", "sync folder"]


def test_concurrent_writers_leave_one_complete_file(tmp_path: Path) -> None:
    def write(letter: bytes) -> None:
        for _ in range(20):
            write_atomically(tmp_path / "file", letter * 5000)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (tmp_path / "file").read_bytes()
    assert len(content) == 5000
    assert len(set(content)) == 1
    assert os.listdir(tmp_path) == ["file"]


def test_only_the_leftovers_of_dead_writers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        atomic_files.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        write_atomically(tmp_path / "file", b"x")

    assert not passes(in_child(die))
    (leftover,) = os.listdir(tmp_path)
    node = os.uname().nodename
    of, process, started, life, _, _ = leftover.removeprefix(f".{node}.").split(".")

    def left(of: str = of, process: str = process, started: str = started, life: str = life, node: str = node) -> str:
        return f".{node}.{of}.{process}.{started}.{life}.{'0' * 16}.tmp"

    lives = {"process": str(os.getppid()), "started": str(start_time(os.getppid()))}
    kept = {
        left(node="elsewhere"),
        left(**lives),
        left(process=str(os.getpid()), life=temporary_files._LIFE),  # ours
        left(of="1"),  # another container's, whatever lives under that number here
        "file",
        ".hidden.tmp",
    }
    gone = {
        leftover,
        left(process=str(os.getpid()), life="00000000"),  # an earlier life
        left(**lives | {"started": "1"}),  # its number was given again
        left(of="2"),
    }
    for name in {*kept, *gone}:
        (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / left(of="2"), (0, 0))
    assert remove_stale_temporary_files(tmp_path) == len(gone)
    assert set(os.listdir(tmp_path)) == kept
    assert remove_stale_temporary_files(tmp_path / "missing") == 0
