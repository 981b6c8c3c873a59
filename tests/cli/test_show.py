"""Test `semisup show`, which prints the record of a run, for records with any content."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from semisup.errors import RecordError
from semisup.report.run_summary import MAX_ROUNDS, WIDTH, show_run
from tests import preloaded
from tests.report.run_maker import make, plain_of
from tests.report.test_compare import BROKEN


def shown(folder: Path) -> str:
    file = io.StringIO()
    assert show_run(folder, Console(file=file, width=80, soft_wrap=True, highlight=False)).folder == folder
    return file.getvalue()


def test_settings_that_differ_from_the_defaults(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine", plain_of("threshold=quantile", "augment.strength=0.25", "train.steps=100", seed=7))
    lines = shown(folder).splitlines()
    first = lines.index("settings that differ from the defaults:") + 1
    found = {line.strip() for line in lines[first : lines.index("", first)]}
    assert found == {
        "threshold=quantile (default fixed)",
        "tracking=none (default wandb)",
        "augment.strength=0.25 (default 0.5)",
        "train.steps=100 (default null)",
        "seed=7 (default 0)",
    }


def test_show_prints_curves_and_labelings(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine", plain_of(), val=0.8, test=0.75)
    evaluations = [{"step": at, "epoch": at, "val/accuracy": at / 100, "train/loss": 100 - at} for at in range(100)]
    labelings = [
        {
            "step": at,
            "epoch": at,
            "pseudo/round": at,
            "pseudo/coverage": 0.5,
            "pseudo/accuracy": None,
            "pseudo/threshold": 0.9,
        }
        for at in range(MAX_ROUNDS + 3)
    ]
    rows = sorted(evaluations + labelings, key=lambda row: row["step"])
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "plots").mkdir()
    (folder / "plots" / "curves.png").write_bytes(b"")
    text = shown(folder)
    (curve,) = [line for line in text.splitlines() if "val/accuracy" in line]
    blocks = curve.split()[1]
    assert len(blocks) == WIDTH
    assert list(blocks) == sorted(blocks)
    assert blocks[0] == "▁"
    assert blocks[-1] == "█"
    assert curve.endswith("0.000 first, 0.990 last")
    assert [line.split()[0] for line in text.splitlines() if "50.0 %" in line] == [str(at) for at in range(3, 15)]
    assert "validation accuracy 80.0 %, at step 10 of 1200, epoch 1" in text
    assert "test accuracy 75.0 %" in text
    assert "plots (curves.png)" in text
    assert f"semisup reproduce {folder}" in text


def test_failed_run_records_the_reason(tmp_path: Path) -> None:
    error = {"kind": "OutOfMemoryError", "message": "no memory \x1b[2J\u202e"}
    text = shown(make(tmp_path / "mine", plain_of(), status="failed", error=error))
    assert ": failed" in text
    assert "OutOfMemoryError: no memory" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "test accuracy" not in text


@pytest.mark.parametrize(("name", "content", "reason"), BROKEN[::4], ids=[each[2] for each in BROKEN[::4]])
def test_damaged_record_is_reported(tmp_path: Path, name: str, content: str | None, reason: str) -> None:
    folder = make(tmp_path / "mine", plain_of())
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    assert reason in shown(folder)


def test_unknown_option_of_another_version_is_reported(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine", plain_of())
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("name: fixed", "name: of_another_version"))
    assert "no defaults for its options" in shown(folder)


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="is not the directory of a run"):
        shown(tmp_path)


def test_show_works_in_an_ascii_terminal(tmp_path: Path) -> None:
    folder = make(tmp_path / "mine", plain_of())
    command = [sys.executable, "-m", "semisup", "show", str(folder)]
    ascii_ = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=ascii_)
    assert done.returncode == 0, done.stderr
    assert "val/accuracy   ____ " in done.stdout
    again = preloaded.run([*command[:-1], str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 2
    assert "is a folder of runs; type semisup show " in again.stderr
