"""Measure the time of `semisup compare` for 1,000 runs, including process start.

One real run on the built-in digits is copied to 1,000 run directories. Each copy gets its own settings and a slightly
different accuracy; metrics.jsonl has several hundred lines, as in the original. The runs are 25 thresholds x 7
strengths x 5 seeds, their reference runs (controls and baselines), and 85 runs that failed.

python -m benchmarks.comparison FOLDER     creates these runs in FOLDER
"""

import argparse
import copy
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.clock import Measured, Plan
from benchmarks.startup import SEMISUP, median_seconds, seconds
from semisup.config.controls import baseline_config, control_config
from semisup.config.run_id import run_id

NAME = "compare.thousand_runs_seconds"
RUN = (
    *("train.steps=600", "train.evaluate_every_steps=2", "method.refresh_every=5", "schedule=cosine"),
    *("augment.strength=0.1", "tracking=none"),
)
LINKED = ("pseudo_labels.csv", "predictions.csv", "what_if.csv", "classes.csv", "data_report.json", "plots")
SEEDS, TAUS, STRENGTHS, FAILED = range(5), range(25), range(7), 85
Plain = dict[str, Any]


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    if plan.wants(NAME):
        with tempfile.TemporaryDirectory(prefix="semisup-bench-") as folder:
            make_thousand(Path(folder))
            command = [*SEMISUP, "compare", folder]
            yield NAME, median_seconds(plan, lambda _: seconds(command))


def make_thousand(folder: Path) -> None:
    """Create 1,000 run directories in `folder`.

    One run is trained, and all directories are derived from it. Files that are the same in all runs (LINKED) are hard
    links.
    """
    with tempfile.TemporaryDirectory(prefix="semisup-bench-", dir=folder) as place:
        subprocess.run([*SEMISUP, "train", *RUN, f"output_root={place}"], check=True, capture_output=True)
        (original,) = Path(place).glob("runs/*/")
        for number, (plain, gain) in enumerate(_settings(original)):
            _tell_again(original, folder, plain, gain, failed=number >= len(TAUS) * len(STRENGTHS) * len(SEEDS) + 40)


def _settings(original: Path) -> Iterator[tuple[Plain, float]]:
    """Yield the config and the accuracy of each of 1,000 artificial runs, which are derived from a trained run.

    Args:
        original: directory of the trained run.

    Yields:
        (config, gain): the accuracy of the artificial run is that of the trained run plus `gain`.
    """
    plain = yaml.safe_load((original / "config.yaml").read_text())
    summary = json.loads((original / "summary.json").read_text())
    references: dict[str, tuple[Plain, float]] = {}
    for tau in TAUS:
        for strength in STRENGTHS:
            for seed in SEEDS:
                each = _with(plain, round(0.5 + tau / 50, 2), strength / 20, seed)
                gain = 0.02 - abs(tau - 18) / 500 - abs(strength - 3) / 200 + seed / 1000
                yield each, gain
                for reference, less in ((control_config(each, summary), 0.04), (baseline_config(each, summary), 0.06)):
                    references[run_id(reference)] = reference, gain - less
    yield from references.values()
    for number in range(FAILED):
        yield _with(plain, 0.99, number % len(STRENGTHS) / 20, len(SEEDS) + number // len(STRENGTHS)), 0.0


def _with(plain: Plain, tau: float, strength: float, seed: int) -> Plain:
    found = copy.deepcopy(plain)
    found["seed"] = found["dataset"]["split_seed"] = seed
    found["threshold"]["tau"], found["augment"]["strength"] = tau, strength
    return found


def _tell_again(original: Path, folder: Path, plain: Plain, gain: float, *, failed: bool) -> None:
    run, unlabeled = folder / run_id(plain), plain["method"]["name"] != "supervised"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
    about = json.loads((original / "run.json").read_text()) | {"id": run.name}
    if failed:
        about |= {"status": "failed", "error": {"kind": "RuntimeError", "message": "out of memory, in some words"}}
    (run / "run.json").write_text(json.dumps(about, indent=1))
    with open(original / "metrics.jsonl") as rows, open(run / "metrics.jsonl", "w") as file:
        for line in rows:
            row = json.loads(line)
            if unlabeled or "pseudo/round" not in row:
                accuracy = {key: _moved(value, gain) for key, value in row.items() if key == "val/accuracy"}
                file.write(json.dumps(row | accuracy) + "\n")
    if not failed:
        summary = json.loads((original / "summary.json").read_text())
        summary |= {"steps": plain["train"]["steps"]}
        for key in ("best/val/accuracy", "test/accuracy"):
            summary[key] = _moved(summary[key], gain)
        (run / "summary.json").write_text(json.dumps(summary, indent=1))
    for name in LINKED if unlabeled else ():
        if (original / name).is_dir():
            shutil.copytree(original / name, run / name, copy_function=os.link)
        elif (original / name).exists():
            os.link(original / name, run / name)


def _moved(value: float, gain: float) -> float:
    return min(max(value + gain, 0.0), 1.0)


if __name__ == "__main__":
    asked = argparse.ArgumentParser("python -m benchmarks.comparison", description=__doc__)
    asked.add_argument("folder", type=Path)
    wanted: Path = asked.parse_args().folder
    wanted.mkdir(parents=True)
    make_thousand(wanted)
