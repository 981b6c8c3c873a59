"""Measure the time of a new process: for help, for shell completion, and for a run of one step."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from benchmarks.clock import Measured, Plan, single

SEMISUP = [sys.executable, "-m", "semisup"]
ASKED = {
    "startup.help_seconds": ["train", "--help"],
    "startup.cfg_job_seconds": ["train", "--cfg", "job"],
    "startup.completion_seconds": ["train", "--shell-completion", "query=bash"],
}
FIRST_STEP = "startup.train_first_step_seconds"


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    line = "semisup train thre"
    typed = os.environ | {"COMP_LINE": line, "COMP_POINT": str(len(line)), "OMP_NUM_THREADS": "1"}
    for name, words in ASKED.items():
        if plan.wants(name):
            yield name, median_seconds(plan, lambda _, words=words: seconds([*SEMISUP, *words], typed))
    if plan.wants(FIRST_STEP):
        yield FIRST_STEP, median_seconds(plan, _first_step)


class Seconds(NamedTuple):
    """Wall-clock and CPU time of a process and its children, in seconds."""

    wall: float
    cpu: float


def seconds(command: list[str], environment: Mapping[str, str] | None = None) -> Seconds:
    """Run a command, which must succeed, and measure its time."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=environment)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Seconds(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def median_seconds(plan: Plan, measured: Callable[[int], Seconds]) -> Measured:
    """Measure a time in each round and return the median.

    The first call fills the disk caches and is not counted.

    Args:
        measured: function from the number of the round to the time.
    """
    found = [measured(number) for number in range((2 if plan.quick else 5) + 1)][1:]
    cpu = statistics.median(each.cpu for each in found)
    return replace(single([each.wall for each in found]), cpu=cpu)


def _first_step(seed: int) -> Seconds:
    """Measure the time of a run of one step on the built-in digits, with its evaluations and files."""
    with tempfile.TemporaryDirectory(prefix="semisup-bench-") as folder:
        words = ["train.steps=1", "plots=false", "tracking=none", f"output_root={folder}", f"seed={seed}"]
        return seconds([*SEMISUP, "train", *words])
