"""Optuna's sweeper: it maximizes validation accuracy, and the same command continues the search."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import preloaded

TINY = (
    *("tracking=none", "plots=false", "model.widths=[4,8]", "train.steps=40", "train.evaluate_every_steps=20"),
    *("sweep.control=false", "hydra/sweeper=search", "hydra.sweeper.n_trials=3"),
)
SPACE = ("threshold.tau=interval(0.6, 0.99)", "optimizer.lr=choice(0.001, 1e12)")


def search(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "semisup", "train", "-m", *TINY, *SPACE, f"output_root={root}"]
    return preloaded.run(command, capture_output=True, text=True, timeout=240)


def test_search_maximizes_validation_accuracy_survives_a_failure_and_continues(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="no Optuna here (the extra `optuna` brings it)")
    done = search(tmp_path)
    entries = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("runs/sweeps/*/jobs/*.json"))]
    assert len(entries) == 3, done.stdout + done.stderr
    statuses = [entry["status"] for entry in entries]
    assert set(statuses) == {"done", "diverged"}, "a learning rate of 1e12 is among what is tried"
    assert done.returncode == 1, "which the exit status tells"
    accuracies = {
        entry["folder"]: json.loads((Path(entry["folder"]) / "summary.json").read_text())["best/val/accuracy"]
        for entry in entries
        if entry["status"] == "done"
    }
    (results,) = (yaml.safe_load(path.read_text()) for path in tmp_path.glob("runs/sweeps/*/optimization_results.yaml"))
    assert results["best_value"] == max(accuracies.values())
    best = yaml.safe_load((Path(max(accuracies, key=lambda each: accuracies[each])) / "config.yaml").read_text())
    assert best["threshold"]["tau"] == results["best_params"]["threshold.tau"]
    again = search(tmp_path)
    assert f"({len(accuracies)} reused)" in again.stdout
    assert len(list(tmp_path.glob("runs/*/config.yaml"))) == 3, "it asks for the same settings"
