"""Test `semisup confirm` on the command line, with a sweep on digits."""

import json
from pathlib import Path
from typing import Any

import pytest

from semisup.analysis.confirmation import FEWEST_SEEDS, MOST_SEEDS
from semisup.cli.commands import run_command_line
from semisup.cli.confirm import path_from_here

TINY = (
    "train.steps=4", "plots=false", "tracking=none", "method=fixmatch", "method.ratio=1", "augment.strength=0.5",
    "dataset.validation_per_class=4",
)  # fmt: skip


def test_time_limit_of_the_sweep_does_not_end_its_confirmation(tmp_path: Path, monkeypatch: Any, capfd: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["train", "-m", *TINY, "threshold.tau=0.5", "seed=0", "sweep.minutes=0.0001"]) == 0
    capfd.readouterr()
    status = run_command_line(["confirm", "outputs/runs", "--seeds", "3"])
    output = capfd.readouterr().out
    assert status == 0, output
    assert output.count("Confirmed on 3 fresh seeds: ") == 1
    assert "The sweep in which" not in output, "only the new comparison"
    assert "Next: semisup compare" not in output
    assert "wrote outputs/runs_confirm/report.html" in output
    assert "semisup advise outputs/runs\n" in output
    assert str(tmp_path) not in output
    plan = json.loads((tmp_path / "outputs/runs_confirm/confirmation.json").read_text())
    assert len(plan["seeds"]) == 3
    assert run_command_line(["confirm", "outputs/runs", "--seeds", "4"]) == 0
    output = capfd.readouterr().out
    assert "Confirmed on 4 fresh seeds (seeds were added after the results of 3;" in " ".join(output.split()), output
    assert len([line for line in output.splitlines() if line.startswith("done  ")]) == 1, "only the new seed"
    run = next(path.parent for path in Path("outputs/runs").glob("*/config.yaml"))
    assert run_command_line(["confirm", "outputs/runs_confirm"]) == 2
    assert "to add seeds to it, type semisup confirm outputs/runs --seeds N\n" in capfd.readouterr().err
    assert run_command_line(["confirm", "outputs/runs", "10"]) == 2
    assert capfd.readouterr().err.endswith("type --seeds 10\n")
    assert run_command_line(["confirm", str(run)]) == 2
    assert (
        "is a run; confirm repeats the best run of a sweep; type semisup confirm outputs/runs\n"
        in capfd.readouterr().err
    )


def test_folder_on_another_drive_is_unchanged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def relpath(path: Path) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("os.path.relpath", relpath)
    assert path_from_here(tmp_path / "runs") == tmp_path / "runs"


def test_help_names_the_allowed_numbers_of_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command_line(["confirm", "--help"])
    assert f"from {FEWEST_SEEDS} to {MOST_SEEDS}" in " ".join(capsys.readouterr().out.split())
