"""The launcher presets: parallel runs on this machine, submitit, a SLURM cluster.

SLURM is replaced by submitit's local executor and by stand-ins for its programs on PATH (fake_slurm.py); the plugin,
submitit and the program are the real ones.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import pytest

from semisup.cli.train import train_command
from semisup.config.resolvers import runs_per_machine
from semisup.errors import SettingError
from semisup.runner.signals import StopHandler, forward_signal
from semisup.sweep.preflight import compose_command, validate_command
from tests.kill.oracles import content, files
from tests.preloaded import Preloaded
from tests.sweep import fake_slurm

LONG = (
    *("tracking=none", "plots=false", "method.gate=0", "threshold.tau=0.1", "model.widths=[8,16]"),
    *("method.refresh_every=1", "sweep.control=false", "checkpoint.every_seconds=3600"),
    "collapse.warn_below=null",
)
PLACES = ("run.json", "git.diff", "git-continued.diff")
EPOCHS = "train.epochs=12"
LINES = 6  # of metrics.jsonl, after which a run is stopped: some way into it, and far from its end


@contextlib.contextmanager
def sweep(
    root: Path, *words: str, program: str = "semisup", environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run the program in a process group that is killed at the end of the context."""
    command = [sys.executable, "-m", program, "train", "-m", *words, f"output_root={root}"]
    pipe = subprocess.PIPE
    process = Preloaded(command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(there: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    limit = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)


def under_way(root: Path) -> bool:
    return any(path.read_bytes().count(b"\n") >= LINES for path in root.glob("runs/*/metrics.jsonl"))


def the_run(root: Path) -> Path:
    (run,) = (path.parent for path in root.glob("runs/*/config.yaml"))
    return run


def difference(run: Path, alone: Path) -> list[str]:
    """Files that differ or are in only one folder, except those that name the place, the command and the checkout."""
    one, other = ({name: content(name, path) for name, path in files(each).items()} for each in (run, alone))
    names = one.keys() | other.keys()
    return [name for name in names if name not in PLACES and one.get(name) != other.get(name)]


def about(root: Path) -> dict[str, object]:
    metadata: dict[str, object] = json.loads((the_run(root) / "run.json").read_text())
    return metadata


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, uninterrupted and without a launcher."""
    root = tmp_path_factory.mktemp("alone")
    assert train_command([*LONG, EPOCHS, f"output_root={root}"]) == 0
    return the_run(root)


def test_runs_per_machine_follow_the_cores() -> None:
    cores = joblib.cpu_count()
    assert runs_per_machine(1) == cores
    assert runs_per_machine(2) == max(1, cores // 2)
    assert runs_per_machine(cores + 1) == 1, "a run of more threads than there are cores still runs"


def test_parallel_runs_with_a_shared_start_equal_separate_runs(tmp_path: Path) -> None:
    """Both runs start together, and the second one waits for the first."""
    words = (*LONG, "train.epochs=2", "threshold.tau=0.1,0.5")
    with sweep(tmp_path / "together", *words, "hydra/launcher=cores", "hydra.launcher.n_jobs=2") as process:
        output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert "1 run began from a shared start (training before the first pseudo-labels): 1 epoch," in output
    assert train_command(["-m", *words, "sweep.share_start=false", f"output_root={tmp_path / 'apart'}"]) == 0
    together, apart = (sorted((tmp_path / each / "runs").glob("self_training*")) for each in ("together", "apart"))
    assert [run.name for run in together] == [run.name for run in apart]
    assert len(together) == 2
    for pair in zip(together, apart, strict=True):
        assert difference(*pair) == ["config.yaml"], "which says whether they were to share"


@pytest.mark.parametrize("launcher", ["slurm", "cores", "basic"])
def test_missing_device_is_allowed_only_for_jobs_on_other_machines(launcher: str) -> None:
    command = compose_command(["device=cuda:63", "tracking=none", f"hydra/launcher={launcher}"], asked=True)
    if launcher == "slurm":
        assert len(validate_command(command)) == 1
    else:
        with pytest.raises(SettingError, match="cuda:63"):
            validate_command(command)


def test_handled_signal_is_forwarded_to_the_previous_handler() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    try:
        with StopHandler() as stop:
            stop.wait = True
            signal.raise_signal(signal.SIGUSR2)
            assert stop.asked is not None
            assert heard == [], "not before the run is saved"
        forward_signal(stop.asked.by)
        assert heard == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, before)
    forward_signal("SIGUSR2")  # nobody's: the system would end this process
    forward_signal("SIGINT")  # Python's own


def test_preempted_slurm_job_is_requeued_and_ends_bit_identical(tmp_path: Path, alone: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    slurm = tmp_path / "slurm"
    environment = fake_slurm.install(slurm)
    words = (*LONG, "train.epochs=12,1", "hydra/launcher=slurm", "hydra.launcher.mem_gb=3")
    typed_on = "tests.sweep.login_node"  # whose `auto` is another one than its nodes'
    with sweep(tmp_path / "out", *words, program=typed_on, environment=environment) as process:
        wait_for(lambda: under_way(tmp_path / "out"), process)
        subprocess.run(["scancel", "7_0", "--signal", "USR2"], env=environment, check=True)
        output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, output + errors
    assert "2 runs: 2 done" in output
    run = tmp_path / "out" / "runs" / alone.name
    assert json.loads((run / "run.json").read_text())["interruptions"] == {"SIGUSR2": 1}
    assert difference(run, alone) == []
    script = (slurm / "submitted.sh").read_text()
    for wanted in ("array=0-1%2", "job-name=runs", "requeue", "signal=USR2@120", "cpus-per-task=1", "mem=3GB"):
        assert f"#SBATCH --{wanted}" in script


def test_sigterm_to_a_submitit_job_saves_it_and_the_same_sweep_continues(tmp_path: Path, alone: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with sweep(tmp_path, *LONG, EPOCHS, "hydra/launcher=submitit_local") as process:
        wait_for(lambda: under_way(tmp_path), process)
        (folder,) = tmp_path.glob("runs/sweeps/*/.submitit/[0-9]*")
        os.kill(int(folder.name), signal.SIGTERM)  # of the process that looks after the job's, and passes it on
        output, errors = process.communicate(timeout=180)
    assert process.returncode == 75, output + errors
    assert "1 interrupted" in output
    assert about(tmp_path)["status"] == "interrupted"
    assert train_command(["-m", *LONG, EPOCHS, f"output_root={tmp_path}"]) == 0
    assert about(tmp_path)["interruptions"] == {"SIGTERM": 1}
    assert difference(the_run(tmp_path), alone) == []
