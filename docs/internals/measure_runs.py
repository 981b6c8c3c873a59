"""Measure the cost of one more run of a sweep: the constants of "Planning a cluster" in docs/internals/scaling.md.

python docs/internals/measure_runs.py              print them as a table (20 s; times are CPU times, one thread)
python docs/internals/measure_runs.py compare      the same for `semisup compare` of 1,000 and 2,000 runs (2 minutes)
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import comparison
from semisup.record.status import RunStatus
from semisup.runner.result import RunResult
from semisup.sweep.job_store import JobStore
from semisup.sweep.preflight import compose_command, job_overrides, validate_command

SEMISUP = [sys.executable, "-m", "semisup"]
RUN = ("train.epochs=30", "tracking=none", "device=cpu")


def main() -> None:
    for name, value, unit in _of_comparisons() if sys.argv[1:] == ["compare"] else constants():
        print(f"| {name} | {value:.3g} | {unit} |", flush=True)


def constants() -> Iterator[tuple[str, float, str]]:
    """Name, value and unit of each constant."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _of_checks()
        yield from _of_jobs(folder)
        yield from _of_folders(folder)


def _of_checks() -> Iterator[tuple[str, float, str]]:
    """The plan and the checks before the first run, of a grid of 10,000 jobs."""
    words = [*RUN, f"threshold.tau={','.join(f'0.{number}' for number in range(50, 90))}", "seed=range(0,250)"]
    command = compose_command(words, True)
    began = time.process_time()
    plan = job_overrides(command, words)
    validate_command(command, plan)
    yield "plan and check 10,000 jobs", time.process_time() - began, "s"


def _of_jobs(folder: Path) -> Iterator[tuple[str, float, str]]:
    store, count = JobStore(folder / "sweep"), 2000
    store.begin([["threshold.tau=0.9", f"seed={number}"] for number in range(count)], "sweep")
    result = RunResult(folder / "a" / "self_training-fixed-0.9-crop_rotate-0.5-seed0-1a2b3c4d", RunStatus.DONE)
    began = time.process_time()
    for number in range(count):
        store.write_entry(f"{number:05d}", result)
    yield "write the state of a job", 1e3 * (time.process_time() - began) / count, "ms"
    began = time.process_time()
    assert len(store.entries()) == count
    yield "read the state of a job", 1e6 * (time.process_time() - began) / count, "us"
    began = time.process_time()
    store.plan()
    yield "read the plan of a sweep, per job", 1e6 * (time.process_time() - began) / count, "us"
    yield "plan of a sweep, per job", (store.folder / "plan.json").stat().st_size / count, "bytes"
    yield "state of a job", (store.folder / "jobs" / "00000.json").stat().st_size, "bytes"


def _of_folders(folder: Path) -> Iterator[tuple[str, float, str]]:
    """The directory of a finished run of small_cnn on digits, with plots."""
    subprocess.run([*SEMISUP, "train", *RUN, f"output_root={folder}"], check=True, capture_output=True)
    (run,) = (path.parent for path in folder.glob("runs/*/summary.json"))
    files = [path for path in run.rglob("*") if path.is_file()]
    sizes = {path: path.stat().st_size for path in files}
    states = sum(size for path, size in sizes.items() if path.parent.name == "checkpoints")
    yield "files of a run", len(files), ""
    yield "files of a run, without checkpoints", (sum(sizes.values()) - states) / 1e3, "kB"
    yield "checkpoints of a run (small_cnn)", states / 1e3, "kB"


def _of_comparisons() -> Iterator[tuple[str, float, str]]:
    """`semisup compare` of 1,000 and of about 2,000 runs."""
    measured = []
    for seeds in (5, 10):
        comparison.SEEDS = range(seeds)
        with tempfile.TemporaryDirectory() as name:
            comparison.make_thousand(Path(name))
            runs = len([*Path(name).glob("*/run.json")])
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            code = (
                "import sys, resource; from semisup.__main__ import main; main();"
                "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, "compare", name],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ,
            )
            seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
            page = next(Path(name).rglob("report.html")).stat().st_size
            measured.append((runs, seconds, int(done.stdout.rsplit("peak ", 1)[1]), page))
    (few, s1, m1, p1), (many, s2, m2, p2) = measured
    yield "compare: start", s1 - few * (s2 - s1) / (many - few), "s"
    yield "compare: per run", 1e3 * (s2 - s1) / (many - few), "ms"
    yield "compare: memory per run", (m2 - m1) / (many - few), "kB"
    yield "report.html, per run", (p2 - p1) / (many - few), "bytes"


if __name__ == "__main__":
    main()
