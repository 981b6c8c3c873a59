"""Compare successive halving with a grid: optimizer steps until a search finds a setting close to the grid's best.

    python -m benchmarks.halving digits
    python -m benchmarks.halving grocery11 --data FOLDER       needs pip install 'semisup[lite]'
    python -m benchmarks.halving digits --check                also runs real halving with the first seed

The grid is trained once for each seed, which also chooses the labeled images; finished runs are reused. Halving is
simulated with the metrics of these runs, by the code of the sweeper. A setting is good if its validation accuracy is
at most 0.5 points below the best of the grid. The result is the number of steps until the first run of a good setting
is finished, averaged over all orders in which the settings can be trained.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from semisup.record.reader import read_config, read_json, read_metrics
from semisup.record.rung import RungScore
from semisup.sweep.halving import best_settings, group_by_setting

TOLERANCE = 0.005
PLAIN = ("tracking=none", "plots=false", "sweep.control=false")
PLANS = (([0.2, 0.5], 2), ([0.2, 0.5], 3), ([0.1, 0.3], 3), ([0.3], 3))
"""Rungs and eta of the simulated searches; the first is the default of hydra/sweeper=halving."""

DIGITS = (
    *("experiment=threshold_by_strength", "threshold.tau=0.7,0.8,0.9,0.95", "augment.strength=0,0.1,0.25"),
    *("train.steps=600", "train.evaluate_every_steps=30", "name=digits"),
)
GROCERY11 = (
    *("experiment=photographs", "method=fixmatch", "threshold.tau=0.5,0.7,0.8,0.9", "optimizer.lr=0.0005,0.002,0.008"),
    *("dataset.labels_per_class=4", "train.steps=300", "train.evaluate_every_steps=15", "name=grocery11"),
)
"""Overrides of the grid on grocery11.

The features are those of one view, because encoding several views takes too long.
"""


class Trained(NamedTuple):
    """A finished run of the grid.

    setting: the overrides that differ between the runs, without the seed
    train: the section `train` of its config
    steps: number of its optimizer steps
    accuracy: its best validation accuracy
    rows: rows of its metrics.jsonl
    """

    setting: tuple[str, ...]
    train: dict[str, Any]
    steps: int
    accuracy: float
    rows: list[dict[str, Any]]


class Search(NamedTuple):
    """Result of a search.

    found: steps until the search finished a run with a validation accuracy close to the grid's best; None = never
    steps: all steps of the search
    accuracy: best validation accuracy
    """

    found: float | None
    steps: int
    accuracy: float


def sweep(root: Path, words: tuple[str, ...], seeds: str) -> None:
    command = [sys.executable, "-m", "semisup", "train", "-m", *PLAIN, *words, f"seed={seeds}", f"output_root={root}"]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)


def read_grids(folder: Path) -> Iterator[tuple[int, list[Trained]]]:
    """Yield the seed and the runs of each grid, in the order of the sweep's jobs."""
    plan = json.loads(max(folder.glob("sweeps/*/plan.json")).read_text())["jobs"]
    jobs = [json.loads(path.read_text()) for path in sorted(max(folder.glob("sweeps/*/jobs")).glob("*.json"))]
    by_seed: dict[int, list[Trained]] = {}
    names = {number: setting for setting, numbers in group_by_setting(plan).items() for number in numbers}
    for number, job in enumerate(jobs):
        run = Path(job["folder"])
        config, summary = read_config(run / "config.yaml"), read_json(run / "summary.json") or {}
        setting = names[number]
        rows = [*read_metrics(run / "metrics.jsonl")]
        trained = Trained(setting, config["train"], summary["steps"], summary["best/val/accuracy"], rows)
        by_seed.setdefault(config["seed"], []).append(trained)
    yield from by_seed.items()


def grid(runs: list[Trained], good: float) -> Search:
    steps = sum(run.steps for run in runs)
    return Search(until_first(steps, runs, good), steps, max(run.accuracy for run in runs))


def until_first(steps: int, runs: list[Trained], good: float) -> float | None:
    """Compute the mean number of steps until the first good run is finished, over all orders of the runs.

    Args:
        steps: number of steps of all runs together; every run has the same number.
        runs: the runs of the search.
        good: lowest validation accuracy of a good run.
    """
    count = sum(run.accuracy >= good for run in runs)
    return steps / len(runs) * (len(runs) + 1) / (count + 1) if count else None


def halving(runs: list[Trained], good: float, rungs: list[float], eta: float) -> Search:
    """Simulate successive halving with the metrics of a grid.

    Args:
        runs: the runs of the grid.
        good: lowest validation accuracy of a good run.
        rungs: fractions of the training, in (0, 1), after which the worst settings are stopped.
        eta: at each rung, 1 / eta of the settings continue.
    """
    steps, active = 0, {run.setting: run for run in runs}
    at = dict.fromkeys(active, 0)
    for share in rungs:
        scores = {}
        for setting, run in active.items():
            rung = RungScore(run.train, share).add(run.rows)
            stop = min((rung.step or 0) + 1, run.steps)  # a run stops one step after the evaluation
            steps, at[setting] = steps + stop - at[setting], stop
            scores[setting] = rung.score
        active = {setting: active[setting] for setting in active if setting in best_settings(scores, eta)}
    finished = [*active.values()]
    rest = sum(run.steps - at[run.setting] for run in finished)
    last = until_first(rest, finished, good)
    best = max(run.accuracy for run in finished)
    return Search(None if last is None else steps + last, steps + rest, best)


def row(name: str, results: list[Search], best: list[float]) -> str:
    found = [each.found for each in results if each.found is not None]
    until = f"{statistics.mean(found):.0f}" if found else "-"
    total = statistics.mean(each.steps for each in results)
    lost = statistics.mean(top - each.accuracy for each, top in zip(results, best, strict=True))
    return f"| {name} | {len(found)} of {len(results)} | {until} | {total:.0f} | {100 * lost:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=["digits", "grocery11"])
    parser.add_argument("--data", dest="folder", help="folder of grocery11")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmark_halving"))
    parser.add_argument("--check", action="store_true", help="also run real halving with seed 0, and compare")
    options = parser.parse_args()
    words = DIGITS if options.data == "digits" else (*GROCERY11, f"dataset.root={options.folder}")
    sweep(options.out, words, ",".join(map(str, range(options.repeats))))
    grids = dict(read_grids(options.out / options.data))
    best = [max(run.accuracy for run in runs) for runs in grids.values()]
    print("| search | found | steps until found | steps in total | points below the grid's best |")
    print("|---|---|---|---|---|")
    good = [top - TOLERANCE - 1e-9 for top in best]
    print(row("grid", [grid(runs, limit) for runs, limit in zip(grids.values(), good, strict=True)], best))
    for rungs, eta in PLANS:
        results = [halving(runs, limit, rungs, eta) for runs, limit in zip(grids.values(), good, strict=True)]
        print(row(f"halving, rungs {rungs}, eta {eta}", results, best))
    if options.check:
        check(options.out, words, options.data, grids[0])


def check(out: Path, words: tuple[str, ...], name: str, runs: list[Trained]) -> None:
    """Run real halving with seed 0, and assert that it makes the same decisions as the simulation."""
    rungs, eta = PLANS[0]
    root = out / "check"
    sweep(root, (*words, "hydra/sweeper=halving", f"hydra.sweeper.rungs={rungs}".replace(" ", "")), "0")
    decisions = json.loads(max((root / name).glob("sweeps/*/halving.json")).read_text())["decisions"]
    active = {run.setting: run for run in runs}
    for share, decision in zip(rungs, decisions, strict=True):
        scores = {setting: RungScore(run.train, share).add(run.rows).score for setting, run in active.items()}
        kept = best_settings(scores, eta)
        real = {tuple(each["overrides"]): each for each in decision}
        assert {setting: each["score"] for setting, each in real.items()} == scores
        assert {setting for setting, each in real.items() if each["continues"]} == {*kept}
        active = {setting: active[setting] for setting in kept}
    print("real halving with seed 0 made the same decisions with the same scores")


if __name__ == "__main__":
    main()
