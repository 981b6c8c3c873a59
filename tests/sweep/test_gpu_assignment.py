"""Parallel runs on a machine with several GPUs; the tests need none."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from semisup.config import resolvers
from semisup.sweep import gpu_assignment
from semisup.sweep.preflight import compose_command
from tests import preloaded
from tests.preloaded import Preloaded

HOLD = "import sys; from semisup.sweep import gpu_assignment as gpus; from pathlib import Path; "
TAKE = HOLD + "print(gpus.acquire_gpu(sys.argv[2:], Path(sys.argv[1])), flush=True); sys.stdin.read()"
SETTLE = (
    HOLD + "gpus.assign_gpu(sys.argv[1]); import os; print(os.environ.get(gpus.VISIBLE)); gpus.assign_gpu(sys.argv[1]);"
)


def holder(folder: Path, *there: str) -> "subprocess.Popen[str]":
    """Start a process that acquires one of these GPUs and prints its name."""
    command = [sys.executable, "-c", TAKE, str(folder), *there]
    return Preloaded(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def acquired(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_each_process_takes_the_least_used_gpu_until_it_dies(tmp_path: Path) -> None:
    processes = [holder(tmp_path / "locks", "4", "5")]
    try:
        gpus = [acquired(processes[0])]
        for _ in range(4):
            processes.append(holder(tmp_path / "locks", "4", "5"))
            gpus.append(acquired(processes[-1]))
        assert gpus == ["4", "5", "4", "5", "4"]
        processes[1].kill()
        processes[1].wait()
        processes.append(holder(tmp_path / "locks", "4", "5"))
        assert acquired(processes[-1]) == "5", "which a killed process held"
    finally:
        for each in processes:
            each.kill()
            each.communicate()


@pytest.mark.parametrize(
    ("device", "visible", "seen"),
    [
        ("cuda", "GPU-a, GPU-b", "GPU-a"),
        ("auto", "2,3", "2"),
        ("cuda:1", "2,3", "2,3"),  # chosen by the user
        ("cpu", "2,3", "2,3"),
        ("cuda", "7", "7"),
        ("cuda", "", ""),
        ("cuda", "MIG-GPU-a/1/0,MIG-GPU-a/2/0", "MIG-GPU-a/1/0"),
        ("cuda", "-1,2", "-1,2"),  # CUDA looks no further than the first that is none
        ("cuda", "2,-1,3", "2,-1,3"),
    ],
)
def test_process_of_a_sweep_sees_one_gpu(tmp_path: Path, device: str, visible: str, seen: str) -> None:
    environment = os.environ | {gpu_assignment.VISIBLE: visible, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", SETTLE + "print(os.environ.get(gpus.VISIBLE))", device]
    done = preloaded.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[:2] == [seen, seen], "and keeps it"


def somewhere_else(folder: Path) -> None:
    (folder.parent / "theirs").mkdir()
    folder.symlink_to(folder.parent / "theirs")


@pytest.mark.parametrize(
    ("spoil", "user"),
    [
        (somewhere_else, os.getuid()),
        (lambda folder: folder.write_text(""), os.getuid()),
        (lambda folder: folder.mkdir(), os.getuid() + 1),
        (lambda folder: (folder / "gpu-2-0.lock").mkdir(parents=True), os.getuid()),
    ],
)
def test_process_without_locks_uses_the_first_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object], user: int
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(gpu_assignment.VISIBLE, "2,3")
    spoil(tmp_path / f"semisup-{user}")
    with pytest.warns(UserWarning, match="cannot lock a GPU.*using the first visible one"):
        gpu_assignment.assign_gpu("cuda")
    assert os.environ[gpu_assignment.VISIBLE] == "2,3"
    assert not [each for each in tmp_path.rglob("*") if each.is_file() and each.suffix == ".lock"]


@pytest.mark.parametrize(("visible", "jobs"), [(["0", "1", "2"], 3), ([], 1)])
def test_gpus_preset_runs_one_job_per_gpu(
    visible: Sequence[str], jobs: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(gpu_assignment.VISIBLE, ",".join(visible))
    resolvers.gpu_count.cache_clear()
    there_is_none = contextlib.nullcontext() if visible else pytest.warns(UserWarning, match="no GPU on this machine")
    with there_is_none:
        command = compose_command(["hydra/launcher=gpus", f"output_root={tmp_path}", "seed=0,1"], asked=True)
        n_jobs = command.config.hydra.launcher.n_jobs
    assert n_jobs == jobs
    resolvers.gpu_count.cache_clear()


def test_runs_of_a_sweep_are_spread_over_the_gpus(tmp_path: Path) -> None:
    """By the names alone: `auto` is the CPU where these GPUs do not exist."""
    words = (
        "tracking=none",
        "plots=false",
        "sweep.control=false",
        "train.steps=200",
        "model.widths=[4]",
        "seed=0,1,2,3",
    )
    command = [sys.executable, "-m", "semisup", "train", "-m", *words, "hydra/launcher=gpus"]
    environment = os.environ | {gpu_assignment.VISIBLE: "0,1", "TMPDIR": str(tmp_path)}
    command.append(f"output_root={tmp_path / 'runs'}")
    preloaded.run(command, env=environment, capture_output=True, timeout=240, check=True)
    locks = tmp_path / f"semisup-{os.getuid()}"
    assert sorted(each.name for each in locks.iterdir()) == ["gpu-0-0.lock", "gpu-1-0.lock"]
    assert len([*(tmp_path / "runs").glob("*/*/summary.json")]) == 4
