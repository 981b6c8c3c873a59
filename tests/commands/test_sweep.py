"""What a sweep leaves on disk about its jobs, whatever becomes of them: the real program in a subprocess."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

TINY = ["method=supervised", "tracking=none", "plots=false", "model.widths=[4,8]", "train.epochs=1", "name=s"]


def sweep(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "semisup", "train", "-m", *TINY, f"output_root={tmp_path}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def entries(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(tmp_path.glob("s/sweeps/*/jobs/*.json"))]


def test_the_first_failure_is_the_last_start_if_asked(tmp_path: Path) -> None:
    words = ("optimizer.lr=1e12,0.001", "train.epochs=3")
    done = sweep(tmp_path / "on", *words, "sweep.fail_fast=true")
    assert done.returncode == 1
    assert [entry["status"] for entry in entries(tmp_path / "on")] == ["diverged", "skipped"]
    assert "sweep.fail_fast" in done.stdout
    done = sweep(tmp_path / "off", *words)
    assert done.returncode == 1
    assert [entry["status"] for entry in entries(tmp_path / "off")] == ["diverged", "done"]


def test_a_job_whose_process_dies_is_known_by_what_was_written_before_it_began(tmp_path: Path) -> None:
    words = [*TINY, f"output_root={tmp_path}", "train.epochs=10000", "seed=0,1"]
    process = subprocess.Popen([sys.executable, "-m", "semisup", "train", "-m", *words], stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 60
    while not list(tmp_path.glob("s/*/metrics.jsonl")) and time.monotonic() < limit:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    (entry,) = entries(tmp_path)
    assert entry["status"] == "running"
    assert Path(str(entry["folder"])).is_dir()
    assert "died" in str(entry["message"])


def test_a_setting_of_swept_options_is_given_to_each_of_them(tmp_path: Path) -> None:
    words = ("threshold=freematch,softmatch", "threshold.momentum=0.5", "method=fixmatch", "sweep.control=false")
    done = sweep(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    saved = [yaml.safe_load(path.read_text())["threshold"] for path in tmp_path.glob("s/*/config.yaml")]
    assert {each["name"] for each in saved} == {"freematch", "softmatch"}
    assert [each["momentum"] for each in saved] == [0.5, 0.5]
