"""The launcher `ray_cores`: a killed worker, a stopped sweep, and two Ray nodes of which one is killed."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from omegaconf import OmegaConf

from semisup.cli.train import train_command
from semisup.errors import SettingError
from semisup.sweep import ray_launcher
from semisup.sweep.job_store import JobStore
from semisup.sweep.preflight import compose_command, require_launcher
from tests.conftest import SOAK
from tests.sweep.test_launchers import EPOCHS, LINES, LONG, difference, sweep, wait_for

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no Ray here (the extra `ray` brings it)")
soak_only = pytest.mark.skipif(not SOAK, reason="`make soak`: each of these starts Ray, which takes 20 s")
SEEDS = "seed=0,1,2"
MARK = "SEMISUP_TESTS_RAY"
"""Environment variable by which the processes of a sweep are found, also after their parent has ended."""

SHORT = (
    *("tracking=none", "plots=false", "model=mlp", "train.steps=1200", "train.evaluate_every_steps=120"),
    *("method=fixmatch", "sweep.control=false"),
)
HALVING = ("hydra/sweeper=halving", "optimizer.lr=1e-7,0.03,0.003,0.01")
SEARCH = (
    *("hydra/sweeper=search", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2"),
    *("threshold.tau=interval(0.6,0.99)", "optimizer.lr=tag(log,interval(0.001,0.1))"),
)
HEAD = "127.0.0.2"  # Ray replaces 127.0.0.1 by the address of the host name
OF_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The runs of the same sweep with the basic launcher: name -> folder."""
    root = tmp_path_factory.mktemp("alone")
    assert train_command(["-m", *LONG, EPOCHS, SEEDS, f"output_root={root}"]) == 0
    return runs(root)


def runs(root: Path) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in root.glob("runs/*/config.yaml")}


def running_jobs(root: Path) -> Iterator[int]:
    """Processes of the jobs that are some way into their runs."""
    for path in root.glob("runs/sweeps/*/jobs/*.json"):
        with contextlib.suppress(ValueError):
            entry = json.loads(path.read_text())
            metrics = Path(entry["folder"] or "") / "metrics.jsonl"
            if entry["status"] == "running" and metrics.is_file() and metrics.read_bytes().count(b"\n") >= LINES:
                yield entry["process"]


def test_launcher_without_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"needs Ray; type pip install 'semisup\[ray\]'"):
        require_launcher(compose_command(["hydra/launcher=ray_cores", "seed=0,1"], asked=True))


@with_ray
@soak_only
def test_job_of_a_killed_worker_continues_and_is_bit_identical(tmp_path: Path, alone: dict[str, Path]) -> None:
    with sweep(tmp_path, *LONG, EPOCHS, SEEDS, "hydra/launcher=ray_cores") as process:
        wait_for(lambda: any(running_jobs(tmp_path)), process)
        os.kill(next(running_jobs(tmp_path)), signal.SIGKILL)
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert "3 runs: 3 done" in output
    assert_same_runs(tmp_path, alone)


@with_ray
@soak_only
@pytest.mark.parametrize("signals", [1, 2])
def test_interrupted_sweep_saves_its_runs_ends_ray_and_continues_bit_identical(
    signals: int, tmp_path: Path, alone: dict[str, Path]
) -> None:
    words = (*LONG, EPOCHS, SEEDS, "hydra/launcher=ray_cores")
    with sweep(tmp_path, *words, environment=os.environ | {MARK: str(tmp_path)}) as process:
        wait_for(lambda: any(running_jobs(tmp_path)), process)
        for _ in range(signals):
            os.kill(process.pid, signal.SIGINT)
            time.sleep(1)
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 130, output + errors
    assert marked_processes(tmp_path) == []
    assert "interrupted: job 00000: stopped; type the same command again to continue" in output
    assert "stopped; type the same command again to continue" in output.splitlines()
    statuses = {json.loads((run / "run.json").read_text())["status"] for run in runs(tmp_path).values()}
    assert statuses == {"interrupted"}
    with sweep(tmp_path, *words) as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert_same_runs(tmp_path, alone)


@with_ray
@soak_only
@pytest.mark.parametrize("sweeper", [HALVING, SEARCH], ids=["halving", "search"])
def test_sweeper_chooses_the_same_runs_with_ray_also_after_an_interruption(
    sweeper: tuple[str, ...], tmp_path: Path
) -> None:
    words = (*SHORT, *sweeper, "hydra/launcher=ray_cores")
    with sweep(tmp_path / "ray", *words) as process:
        wait_for(lambda: any(runs_in_later_batches(tmp_path / "ray")), process)
        os.kill(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 130, output + errors
    with sweep(tmp_path / "ray", *words) as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert train_command(["-m", *SHORT, *sweeper, f"output_root={tmp_path / 'alone'}"]) == 0
    assert_same_runs(tmp_path / "ray", runs(tmp_path / "alone"))


def runs_in_later_batches(root: Path) -> Iterator[Path]:
    """Folders of sweeps that have begun to train the second batch of their jobs."""
    for folder in root.glob("runs/sweeps/*"):
        with contextlib.suppress(OSError, ValueError):
            plan, halving = json.loads((folder / "plan.json").read_text()), folder / "halving.json"
            second = json.loads(halving.read_text())["number"] if halving.exists() else len(plan["jobs"] or []) > 2
            if second:
                yield folder


@with_ray
@soak_only
def test_interruption_while_ray_starts_leaves_no_process(tmp_path: Path) -> None:
    words = (*LONG, EPOCHS, SEEDS, "hydra/launcher=ray_cores")
    with sweep(tmp_path, *words, environment=os.environ | {MARK: str(tmp_path)}) as process:
        wait_for(lambda: any("runtime_env_agent" in " ".join(each) for each in marked_processes(tmp_path)), process)
        os.kill(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 130, output + errors
    assert marked_processes(tmp_path) == []
    assert "3 runs: 3 never started" in output


def marked_processes(root: Path) -> list[list[str]]:
    """Command lines of all processes that a sweep in this folder has started."""
    commands = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(root) and process.status() != psutil.STATUS_ZOMBIE:
                commands.append(process.cmdline())
    return commands


def test_interruption_while_ray_starts_or_ends_waits_for_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise two processes of Ray would stay for a minute."""
    steps: list[str] = []

    class FakeRay(types.ModuleType):
        def is_initialized(self) -> bool:
            return "started" in steps

        def init(self, **arguments: object) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray replaces the handler
            signal.raise_signal(signal.SIGINT)
            steps.append("started")

        def shutdown(self) -> None:
            signal.raise_signal(signal.SIGINT)
            steps.append("ended")

    monkeypatch.setitem(sys.modules, "ray", FakeRay("ray"))
    launcher = ray_launcher.RayLauncher(OmegaConf.create({"init": {"address": None}, "remote": {}}))
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        launcher.launch([["seed=0"]], 0)
    assert steps == ["started"]
    assert signal.getsignal(signal.SIGTERM) is handler
    with pytest.raises(KeyboardInterrupt):
        ray_launcher.shut_down()
    assert steps == ["started", "ended"]


@with_ray
def test_jobs_of_a_killed_node_continue_on_another_node(tmp_path: Path, alone: dict[str, Path]) -> None:
    with cluster() as (address, second):
        there = f"hydra.launcher.ray.init.address={address}"
        words = (*LONG, EPOCHS, SEEDS, "hydra/launcher=ray_cores", there)
        with sweep(tmp_path, *words, environment=os.environ | OF_RAY) as process:
            wait_for(lambda: any(job in tree(second) for job in running_jobs(tmp_path)), process)
            kill(tree(second))
            output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert "3 runs: 3 done" in output
    assert_same_runs(tmp_path, alone)


def assert_same_runs(root: Path, alone: dict[str, Path]) -> None:
    assert runs(root).keys() == alone.keys()
    for name, folder in runs(root).items():
        assert difference(folder, alone[name]) == [], name


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, int]]:
    """Start two Ray nodes with one CPU each; yield their address and the process of the second node."""
    with socket.create_server((HEAD, 0)) as free:
        port = free.getsockname()[1]
    head = (f"--port={port}", "--head", f"--node-ip-address={HEAD}", "--include-dashboard=false")
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short path: it contains sockets
        nodes: list[subprocess.Popen[bytes]] = []
        try:
            nodes.append(start_node(*head, f"--temp-dir={folder}"))
            wait_for_port(port, nodes[0])
            nodes.append(start_node(f"--address={HEAD}:{port}", "--node-ip-address=127.0.0.3"))
            yield f"{HEAD}:{port}", nodes[1].pid
        finally:
            for node in nodes:
                kill(tree(node.pid))
                node.wait()


def start_node(*words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *words]
    environment = os.environ | OF_RAY | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_port(port: int, node: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + 60
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((HEAD, port)):
            return
        assert node.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.1)


def tree(process: int) -> list[int]:
    """The process and all of its descendants."""
    try:
        top = psutil.Process(process)
        return [process, *(each.pid for each in top.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def kill(processes: list[int]) -> None:
    for each in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def test_lost_job_is_recorded_as_failed(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.begin([["seed=0"], ["seed=1"]], "one")
    store.record_loss(1, "its Ray worker crashed twice", fail_fast=True)
    entry = store.entry("00001")
    assert entry is not None
    assert (entry["status"], entry["code"]) == ("failed", 1)
    assert store.missing_jobs() == [0]
    assert store.stop_reason() == "sweep.fail_fast"
