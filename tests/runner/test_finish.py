"""Test that a trained run is finished even if plots or the tracker fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from semisup.runner import finish
from tests.cli.test_train import QUICK, only_run
from tests.conftest import SOAK, Within

FAST = (*QUICK, "train.epochs=1", "method=supervised")


@pytest.mark.parametrize(
    "backend",
    [
        "module://nonexistent.backend",
        pytest.param("nonexistent", marks=pytest.mark.skipif(not SOAK, reason="in make soak")),
    ],
)
def test_matplotlib_settings_of_the_environment_have_no_effect(tmp_path: Path, backend: str) -> None:
    """Set the backend of a notebook, which `!semisup train` inherits, and a matplotlibrc that uses LaTeX."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.family: serif\n")
    environment = os.environ | {"MPLBACKEND": backend, "PATH": str(tmp_path)}  # no LaTeX is installed
    command = [sys.executable, "-m", "semisup", "train", *FAST]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "not all plots of the run were drawn" not in done.stderr
    run = only_run(tmp_path)
    assert json.loads((run / "summary.json").read_text())["test/accuracy"] is not None
    assert (run / "plots" / "curves.png").is_file()


def test_error_of_drawing_is_one_warning_beside_a_finished_run(
    tmp_path: Path, within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such font\nsecond line")

    monkeypatch.setattr("semisup.report.run_plots.draw_run", fail)
    done = within(tmp_path, "train", *FAST)
    assert done.returncode == 0
    assert done.stderr.count("warning: not all plots") == 1
    assert (
        "not all plots of the run were drawn (RuntimeError: no such font); the run directory is complete" in done.stderr
    )
    about = json.loads((only_run(tmp_path) / "run.json").read_text())
    assert (about["status"], about["plots"]) == ("done", [])


class FailingTracker:
    """Tracker whose calls at the end of a run all fail."""

    wanted_thumbnails = 0

    def row(self, row: object) -> None: ...

    def plots(self, plots: object) -> None:
        raise ConnectionError("the server is gone")

    def close(self, summary: object, status: int) -> None:
        raise ValueError("closed twice")


def test_error_of_tracking_is_a_warning_beside_a_finished_run(
    tmp_path: Path, within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semisup.tracking.none.NoTracking.open", lambda *_: FailingTracker())
    done = within(tmp_path, "train", *FAST, "plots=false")
    assert done.returncode == 0, done.stderr
    assert "not all uploaded to the tracker (ConnectionError: the server is gone)" in done.stderr
    assert "the tracker was not closed (ValueError: closed twice)" in done.stderr
    assert (only_run(tmp_path) / "summary.json").is_file()


def test_interruption_is_not_turned_into_a_warning() -> None:
    with pytest.raises(SystemExit), finish._warn_on_error("nothing"):
        raise SystemExit(75)
