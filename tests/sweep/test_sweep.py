"""The record of a sweep's jobs on disk, however they end: the real program in a subprocess."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from semisup.config.controls import REFERENCE_KINDS
from semisup.runner.result import RunResult
from semisup.runner.signals import TOGETHER_SECONDS
from semisup.sweep import worker_process
from semisup.sweep.job_store import JobStore
from semisup.sweep.preflight import compose_command
from semisup.sweep.runner import Attempt, rerun_remaining
from semisup.sweep.worker import WorkerRequest
from tests import preloaded
from tests.conftest import SOAK
from tests.preloaded import Preloaded

TINY = ["method=supervised", "tracking=none", "plots=false", "model.widths=[4,8]", "train.epochs=1", "name=s"]


def sweep(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "semisup", "train", "-m", *TINY, f"output_root={tmp_path}", *words]
    return preloaded.run(command, capture_output=True, text=True, timeout=120)


def entries(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(tmp_path.glob("s/sweeps/*/jobs/*.json"))]


def test_fail_fast_starts_no_run_after_a_failure(tmp_path: Path) -> None:
    words = ("optimizer.lr=1e12,0.001", "train.epochs=3")
    done = sweep(tmp_path / "on", *words, "sweep.fail_fast=true")
    assert done.returncode == 1
    assert [entry["status"] for entry in entries(tmp_path / "on")] == ["diverged", "skipped"]
    assert "sweep.fail_fast" in done.stdout
    done = sweep(tmp_path / "off", *words)
    assert done.returncode == 1
    assert [entry["status"] for entry in entries(tmp_path / "off")] == ["diverged", "done"]


PARALLEL = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")

JOBS = int(os.environ.get("SEMISUP_SWEEP_JOBS", "16"))
"""Of the sweep with planted failures; `make soak` asks for 1,000."""

WAYS = ("exception", "exit 0", "diverged", "_exit", "exit 3", "killed")


def stand_in(folder: Path, wrong: dict[int, str] | dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a sweep of empty trainings, some of which fail as planted; `trained` lists the trainings."""
    folder.mkdir(exist_ok=True)
    (folder / "trained").write_text("")
    planted = {"STAND_IN": json.dumps(wrong), "STAND_IN_LOG": str(folder / "trained")}
    command = [sys.executable, "-m", "tests.sweep.stand_in", "train", "-m", *TINY, f"output_root={folder}", *words]
    return preloaded.run(command, capture_output=True, text=True, timeout=7200, env=os.environ | planted)


def trained(folder: Path) -> list[int]:
    return sorted(int(line) for line in (folder / "trained").read_text().splitlines())


def summary(folder: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(max(folder.glob("s/sweeps/*/sweep_summary.json")).read_text())
    return recorded


def test_every_job_is_accounted_for_and_only_unfinished_jobs_rerun(tmp_path: Path) -> None:
    """Seven kinds of failure: six after which the sweep continues, and a signal that ends it."""
    step = max(JOBS // 16, 1)
    wrong = {step * (2 * number + 1): way for number, way in enumerate(WAYS)}
    stopped = step * 14
    command = f"seed=range({JOBS})"
    began = time.monotonic()
    done = stand_in(tmp_path, wrong | {stopped: "interrupted"}, command)
    print(f"{JOBS} jobs, {(time.monotonic() - began) / (stopped + 1):.3f} s each")
    assert done.returncode == 75, done.stdout + done.stderr
    assert trained(tmp_path) == list(range(stopped + 1)), "each once"
    recorded = summary(tmp_path)
    jobs = [recorded["jobs"][f"{number:05d}"] for number in range(JOBS)]
    assert len(recorded["jobs"]) == JOBS
    status = {"diverged": "diverged"}
    expected = [status.get(wrong[seed], "failed") if seed in wrong else "done" for seed in range(stopped)]
    expected += ["interrupted", *["never started"] * (JOBS - stopped - 1)]
    assert [job["status"] for job in jobs] == expected
    assert [job["overrides"][0] for job in jobs] == [f"seed={seed}" for seed in range(JOBS)]
    reasons = {way: jobs[seed]["message"] for seed, way in wrong.items()}
    assert reasons["exception"] == "planted: No space left on device"
    assert "raise error" in jobs[step]["last_lines"][-1]
    assert reasons["exit 0"] == "the training called sys.exit(0)"
    assert "exit status 0" in reasons["_exit"]
    assert "SIGKILL" in reasons["killed"]
    for line in (reasons["exception"], reasons["killed"], "raise error", "never started: jobs", "1 interrupted"):
        assert line in done.stdout
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("s/*/summary.json")}
    again = stand_in(tmp_path, {}, command)
    assert again.returncode == 0, again.stdout + again.stderr
    assert trained(tmp_path) == sorted([*wrong, *range(stopped, JOBS)]), "those, and no other"
    assert all(path.stat().st_mtime_ns == then for path, then in before.items()), "untouched"
    assert summary(tmp_path)["counts"] == {"done": JOBS}
    assert summary(tmp_path)["kept"] == stopped - len(wrong)


def test_fail_fast_starts_no_run_after_a_dead_process(tmp_path: Path) -> None:
    done = stand_in(tmp_path, {1: "killed"}, "seed=0,1,2", "sweep.fail_fast=true")
    assert done.returncode == 1
    assert [job["status"] for job in summary(tmp_path)["jobs"].values()] == ["done", "failed", "never started"]
    assert trained(tmp_path) == [0, 1]
    assert "never started: jobs 2 (not started: sweep.fail_fast)" in done.stdout


def test_fail_fast_starts_no_run_after_a_failed_control(tmp_path: Path) -> None:
    words = ("method=self_training", "seed=0,1", "sweep.fail_fast=true")
    done = stand_in(tmp_path, {"control 0": "exception"}, *words)
    assert done.returncode == 1
    assert [job["status"] for job in summary(tmp_path)["jobs"].values()] == ["done", "never started"]
    assert list(summary(tmp_path)["companion_jobs"]) == ["00000-control"], "and no baseline"
    assert trained(tmp_path) == [0, 0]


def test_signal_after_the_last_step_ends_the_sweep(tmp_path: Path) -> None:
    words = ("method=self_training", "seed=0,1")
    done = stand_in(tmp_path, {0: "signal after the last step"}, *words)
    assert done.returncode == 75, done.stdout + done.stderr
    assert [job["status"] for job in summary(tmp_path)["jobs"].values()] == ["done", "never started"]
    assert trained(tmp_path) == [0], "no control either"
    assert stand_in(tmp_path, {}, *words).returncode == 0
    assert trained(tmp_path) == [0, 0, 0, 1, 1, 1, 1], "the reference runs of the first, and all of the second"


def test_signal_after_all_jobs_are_done_exits_zero(tmp_path: Path) -> None:
    done = stand_in(tmp_path, {1: "signal after the last step"}, "seed=0,1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs: 2 done" in done.stdout
    assert "stopped" not in done.stdout
    done = stand_in(tmp_path, {2: "signal after the last step"}, "method=self_training", "seed=2")
    assert done.returncode == 75, "its control and its baseline are not there"
    assert "never started: 00000-control, 00000-baseline" in done.stdout


def test_dead_control_process_does_not_lose_the_baseline(tmp_path: Path) -> None:
    done = stand_in(tmp_path, {"control 0": "killed"}, "method=self_training", "seed=0,1")
    assert done.returncode == 1
    recorded = {name: job["status"] for name, job in summary(tmp_path)["companion_jobs"].items()}
    assert recorded == {
        f"0000{seed}-{kind}": (seed and "done") or "failed" for seed in (0, 1) for kind in REFERENCE_KINDS
    }
    assert trained(tmp_path) == [0] * 5 + [1] * 4, "labels_only_none is the baseline, and was tried again"


def test_reused_process_number_is_another_process(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.begin([["seed=0"]], "one")
    store.write_entry("00000", RunResult(tmp_path, "running"))
    assert store.mark_dead("its end") == [], "it is this process"
    entry = json.loads((tmp_path / "jobs" / "00000.json").read_text())
    (tmp_path / "jobs" / "00000.json").write_text(json.dumps(entry | {"started": "1"}))
    assert store.mark_dead("its end") == ["00000"]


def test_signal_during_worker_start_is_forwarded(monkeypatch: pytest.MonkeyPatch) -> None:
    def start_and_signal(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        worker = subprocess.Popen(*arguments, **options)
        signal.raise_signal(signal.SIGUSR1)  # to this thread: a worker of pytest-xdist has others
        return worker

    command = (sys.executable, "-c", "import signal, time; signal.pthread_sigmask(1, range(1, 32)); time.sleep(10)")
    monkeypatch.setattr(worker_process, "COMMAND", command)
    starter = SimpleNamespace(Popen=start_and_signal, PIPE=subprocess.PIPE)
    monkeypatch.setattr(worker_process, "subprocess", starter)
    too_early: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: too_early.append(number))
    try:
        result = worker_process.run_in_subprocess({})
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert too_early == [], "received before it could be forwarded"
    assert result == (-signal.SIGUSR1, signal.SIGUSR1)


RUNNING_JOB = """
import signal, sys, time
from pathlib import Path
from semisup.sweep.job_store import JobStore
from semisup.runner.result import RunResult
def say(*_):
    print("asked", flush=True)
signal.signal(signal.SIGTERM, say)
store = JobStore(Path(sys.argv[1]))
store.write_entry("00000", RunResult(Path("run"), "running"))
print("running", flush=True)
sys.stdin.readline()
store.write_entry("00000", RunResult(Path("run"), "interrupted"))
sys.stdin.readline()
"""
WORKER = """
import sys, time
from pathlib import Path
from semisup.sweep.job_store import JobStore
from semisup.sweep.worker import run_with_stop_signals
folder = Path(sys.argv[1])
sys.exit(run_with_stop_signals(lambda: (folder / "working").touch() or time.sleep(60), JobStore(folder)))
"""


@pytest.mark.parametrize("twice", [False, True])
def test_stopped_sweep_waits_for_saving_runs_until_a_second_signal(tmp_path: Path, twice: bool) -> None:
    store, pipe = JobStore(tmp_path), subprocess.PIPE
    store.begin([["seed=0"]], "one")
    command = [sys.executable, "-c", RUNNING_JOB, str(tmp_path)]
    with Preloaded(command, stdin=pipe, stdout=pipe, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        assert run.stdout.readline() == "running\n"
        worker = Preloaded([sys.executable, "-c", WORKER, str(tmp_path)])
        while not (tmp_path / "working").exists():
            time.sleep(0.02)
        worker.send_signal(signal.SIGTERM)
        assert run.stdout.readline() == "asked\n"
        time.sleep(TOGETHER_SECONDS + 0.1)
        assert worker.poll() is None, "it waits"
        if twice:
            worker.send_signal(signal.SIGTERM)
        else:
            run.stdin.write("\n")
            run.stdin.flush()
        assert worker.wait(timeout=60) == 0
        assert store.pop_end() == {"stopped": 75, "killed": None}
        assert store.entries()["00000"]["status"] == ("running" if twice else "interrupted")
        run.kill()


@pytest.mark.parametrize("launcher", [(), PARALLEL])
def test_closed_output_pipe_ends_no_job(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    """`semisup train -m ... | head -1`"""
    reader, writer = os.pipe()
    os.close(reader)
    words = [*TINY, f"output_root={tmp_path}", "seed=0,1", *launcher]
    command = [sys.executable, "-m", "tests.sweep.stand_in", "train", "-m", *words]
    planted = os.environ | {"STAND_IN": "{}", "STAND_IN_LOG": str(tmp_path / "trained")}
    done = preloaded.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120, env=planted)
    os.close(writer)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("semisup: warning: the validation set")]
    assert (done.returncode, lines) == (0, [])
    assert launcher or len({entry["process"] for entry in entries(tmp_path)}) == 1, "no process died"


def test_refused_command_keeps_the_earlier_sweep_of_its_folder(tmp_path: Path) -> None:
    place = f"hydra.sweep.dir={tmp_path}/here"
    assert stand_in(tmp_path, {}, "seed=0,1", place).returncode == 0
    before = (tmp_path / "here" / "sweep_summary.json").read_bytes()
    done = stand_in(tmp_path, {}, "seed=0,1", "threads=1,0", place)
    assert done.returncode == 2, done.stdout
    assert "threads" in done.stderr
    assert (tmp_path / "here" / "sweep_summary.json").read_bytes() == before


def test_two_refused_jobs_are_not_duplicates(tmp_path: Path) -> None:
    words = ("optimizer=sgd", "optimizer.momentum=0.9,0", "optimizer.nesterov=false,true", "seed=0,1")
    done = stand_in(tmp_path, {}, *words)
    assert done.returncode == 1
    assert summary(tmp_path)["counts"] == {"done": 6, "refused": 2}
    assert summary(tmp_path)["duplicates"] == 0


def test_dead_job_of_a_search_is_a_failure(tmp_path: Path) -> None:
    """Only the sweeper knows its settings, so that it cannot be trained again."""
    composed = compose_command(["hydra/launcher=cores", "seed=0,1"], True)
    store = JobStore(tmp_path)
    store.begin(None, "a search")
    store.write_entry("00000", RunResult(tmp_path, "failed"))
    request = WorkerRequest([], [], str(tmp_path), None, None)
    assert rerun_remaining(Attempt(0, None, ["00000"]), request, composed, store) == (None, "")
    assert [entry["status"] for entry in store.entries().values()] == ["failed"]


def test_requeued_job_trains_its_missing_reference_runs(tmp_path: Path) -> None:
    """As submitit does: the same job again, in the same folder, after its control was stopped."""
    words = ("method=self_training", "seed=0")
    done = stand_in(tmp_path, {"control 0": "interrupted"}, *words)
    assert done.returncode == 75
    (folder,) = tmp_path.glob("s/sweeps/*")
    (folder / "halt.json").unlink()
    again = [
        sys.executable,
        "-c",
        REQUEUED,
        "--multirun",
        *TINY,
        f"output_root={tmp_path}",
        f"hydra.sweep.dir={folder}",
    ]
    planted = os.environ | {"STAND_IN_LOG": str(tmp_path / "trained")}
    preloaded.run([*again, *words], env=planted, timeout=120, check=True, stdout=subprocess.DEVNULL)
    recorded = {name: entry["status"] for name, entry in JobStore(folder).entries().items()}
    assert recorded == dict.fromkeys(["00000", *(f"00000-{kind}" for kind in REFERENCE_KINDS)], "done")
    assert trained(tmp_path) == [0] * 5, "the run once, the control twice, two other reference runs once"


REQUEUED = """
import sys
import tests.sweep.stand_in
from semisup.sweep.hydra_run import run_hydra
run_hydra(sys.argv[1:])
"""


def test_duplicate_jobs_run_once_and_are_listed(tmp_path: Path) -> None:
    done = stand_in(tmp_path, {}, "seed=1,1,2")
    assert done.returncode == 0
    assert trained(tmp_path) == [1, 2]
    assert "1 job is a duplicate of another and ran once: 1 = 0" in done.stdout
    assert (max(tmp_path.glob("s/sweeps/*")) / "sweep_summary.md").read_text().count("| done |") == 3


def test_killed_parallel_worker_loses_no_job(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = [*TINY, *PARALLEL, f"output_root={tmp_path}", "train.epochs=60", "seed=0,1,2"]
    command = [sys.executable, "-m", "semisup", "train", "-m", *words]
    with Preloaded(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 240
        while not (running := [each for each in entries(tmp_path) if each["status"] == "running"]):
            assert time.monotonic() < limit
            time.sleep(0.02)
        os.kill(int(str(running[0]["process"])), signal.SIGKILL)
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert summary(tmp_path)["counts"] == {"done": 3}, "the killed run and those that ended with it are trained again"


@pytest.mark.parametrize(
    ("launcher", "asked", "status"),
    [
        ((), signal.SIGTERM, 75),
        ((), signal.SIGINT, 130),
        (PARALLEL, signal.SIGTERM, 75),
        pytest.param(PARALLEL, signal.SIGINT, 130, marks=pytest.mark.skipif(not SOAK, reason="in make soak")),
    ],
)
def test_signal_to_the_sweep_lets_its_runs_save(
    tmp_path: Path, asked: signal.Signals, status: int, launcher: tuple[str, ...]
) -> None:
    if launcher:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = [*TINY, *launcher, f"output_root={tmp_path}", "train.epochs=100000", "seed=0,1,2,3"]
    command = [sys.executable, "-m", "semisup", "train", "-m", *words]
    with Preloaded(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wanted, limit = 2 if launcher else 1, time.monotonic() + 240
        while len(list(tmp_path.glob("s/*/metrics.jsonl"))) < wanted and time.monotonic() < limit:
            time.sleep(0.1)
        process.send_signal(asked)
        output, _ = process.communicate(timeout=240)
    assert process.returncode == status, output
    recorded = [job["status"] for _, job in sorted(summary(tmp_path)["jobs"].items())]
    assert recorded == ["interrupted"] * wanted + ["never started"] * (4 - wanted)
    assert len(list(tmp_path.glob("s/*/checkpoints/last-*.pt"))) >= wanted, "they saved"
    assert "the same command again to continue" in output


def test_killed_parent_stops_its_run(tmp_path: Path) -> None:
    words = [*TINY, f"output_root={tmp_path}", "train.epochs=100000", "seed=0,1"]
    process = Preloaded([sys.executable, "-m", "semisup", "train", "-m", *words], stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 240
    while not list(tmp_path.glob("s/*/metrics.jsonl")) and time.monotonic() < limit:
        time.sleep(0.1)
    assert [entry["status"] for entry in entries(tmp_path)] == ["running"], "recorded before it ends"
    process.kill()
    process.wait(timeout=30)
    while not list(tmp_path.glob("s/*/checkpoints/last-*.pt")) and time.monotonic() < limit:
        time.sleep(0.1)
    while entries(tmp_path)[0]["status"] == "running" and time.monotonic() < limit:
        time.sleep(0.1)
    assert [entry["status"] for entry in entries(tmp_path)] == ["interrupted"]


def test_setting_of_swept_options_applies_to_each_option(tmp_path: Path) -> None:
    words = ("threshold=freematch,softmatch", "threshold.momentum=0.5", "method=fixmatch", "sweep.control=false")
    done = sweep(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    saved = [yaml.safe_load(path.read_text())["threshold"] for path in tmp_path.glob("s/*/config.yaml")]
    assert {each["name"] for each in saved} == {"freematch", "softmatch"}
    assert [each["momentum"] for each in saved] == [0.5, 0.5]
