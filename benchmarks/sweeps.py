"""Measure the overhead of sweeps, on the built-in digits.

A shared start is the common first part of runs, up to the first labeling of the unlabeled set, computed once. In the
list, "A / B" is the time of A divided by the time of B.

job_overhead_seconds    time of one more run in a process that has trained a run: (sweep of nine one-step runs - sweep
                        of one) / 8
two_jobs_over_one       a sweep with two runs at a time (joblib) / the same sweep with one run at a time
shared_over_separate    9 thresholds x 4 strengths: a sweep with shared starts / a sweep of 36 separate runs. The
                        unlabeled set is first labeled at 40 % of a run
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.clock import Measured, Plan, single
from benchmarks.startup import SEMISUP, Seconds, seconds

PLAIN = ("plots=false", "tracking=none", "sweep.control=false")
TAUS = "0.5,0.6,0.7,0.75,0.8,0.85,0.9,0.95,0.99"
STRENGTHS = "0,0.1,0.2,0.3"


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    if plan.wants("sweep.job_overhead_seconds"):
        yield "sweep.job_overhead_seconds", _overhead(plan)
    if plan.wants("sweep.two_jobs_over_one"):
        yield "sweep.two_jobs_over_one", _two_over_one(plan)
    if plan.wants("sweep.shared_over_separate"):
        yield "sweep.shared_over_separate", _shared_over_separate(plan)


def sweep(*words: str) -> Seconds:
    """Run a sweep in a new process and a new folder, and measure its time."""
    with tempfile.TemporaryDirectory(prefix="semisup-bench-") as folder:
        command = [*SEMISUP, "train", "-m", *PLAIN, f"output_root={folder}", *words]
        found = seconds(command, os.environ | {"OMP_NUM_THREADS": "1"})
        runs = [*Path(folder).glob("runs/*/summary.json")]
        assert runs, "no run was finished"
        return found


def _overhead(plan: Plan) -> Measured:
    seeds = ",".join(map(str, range(9)))
    pairs = [
        (sweep("train.steps=1", "seed=0"), sweep("train.steps=1", f"seed={seeds}"))
        for _ in range(1 if plan.quick else 5)
    ]
    cpu = statistics.median((nine.cpu - one.cpu) / 8 for one, nine in pairs)
    return replace(single([(nine.wall - one.wall) / 8 for one, nine in pairs]), cpu=cpu)


def _two_over_one(plan: Plan) -> Measured:
    words = (f"train.steps={200 if plan.quick else 600}", "train.evaluate_every_steps=100", "seed=0,1,2,3,4,5,6,7")
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    return _over([(sweep(*words, *joblib), sweep(*words)) for _ in range(1 if plan.quick else 5)])


def _shared_over_separate(plan: Plan) -> Measured:
    """Measure the time of a sweep with shared starts relative to the same sweep without them.

    The unlabeled set is first labeled at 40 % of the steps. Until then, an epoch is one pass over the labeled images,
    which is three steps.
    """
    steps, first = (120, 16) if plan.quick else (600, 80)
    grid = (f"threshold.tau={TAUS}", f"augment.strength={STRENGTHS}")
    length = (f"train.steps={steps}", f"train.evaluate_every_steps={steps // 5}", f"method.refresh_every={first}")
    words = (*length, "method.gate=0.3", "schedule=constant", *grid)
    return _over([(sweep("sweep.share_start=true", *words), sweep("sweep.share_start=false", *words))])


def _over(pairs: list[tuple[Seconds, Seconds]]) -> Measured:
    """Compute the median, over pairs of measurements, of the first time divided by the second."""
    cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
    middle = {
        name: statistics.median(each[place].wall for each in pairs) for place, name in enumerate(("this", "over"))
    }
    return replace(single([a.wall / b.wall for a, b in pairs], seconds=middle), cpu=cpu)
