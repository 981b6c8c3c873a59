"""Paired values of a sweep: `zip(...)` and `sweep.rows=FILE.csv` give rows of settings, not every combination."""

import csv
import json
import os
import sys
from pathlib import Path

import pytest

from semisup.config.typed_words import to_overrides
from semisup.errors import DataError, SettingError
from semisup.sweep.job_order import ordered_words
from semisup.sweep.preflight import compose_command, job_overrides
from tests import preloaded

TINY = ("method=supervised", "train.steps=1", "model.widths=[4]", "plots=false", "tracking=none", "sweep.control=false")


def jobs(*words: str) -> list[list[str]]:
    overrides = to_overrides(list(words), sweep=True)
    command = compose_command(overrides, True)
    plan = job_overrides(command, ordered_words(overrides, None, coarse_first=True))
    assert plan is not None
    return plan


def test_zip_pairs_values_and_combines_with_a_grid() -> None:
    assert jobs("threshold.tau=zip(0.7,0.8,0.9)", "augment.strength=zip(0.1,0.2,0.3)", "seed=0,1") == [
        ["seed=0", "threshold.tau=0.7", "augment.strength=0.1"],
        ["seed=0", "threshold.tau=0.8", "augment.strength=0.2"],
        ["seed=0", "threshold.tau=0.9", "augment.strength=0.3"],
        ["seed=1", "threshold.tau=0.7", "augment.strength=0.1"],
        ["seed=1", "threshold.tau=0.8", "augment.strength=0.2"],
        ["seed=1", "threshold.tau=0.9", "augment.strength=0.3"],
    ]
    assert jobs("method=zip(fixmatch,self_training)", "model.widths=zip([4],[8,8])") == [
        ["method=fixmatch", "model.widths=[4]"],
        ["method=self_training", "model.widths=[8,8]"],
    ]


def test_lines_of_a_csv_file_are_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("my rows.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([["threshold.tau", "name"], ["0.7", "a,b"], [], ["0.9", "b, c"]])
    assert to_overrides(["sweep.rows=my rows.csv"], sweep=True) == [
        "threshold.tau=tag(zip,choice(0.7,0.9))", "name=tag(zip,choice('a,b','b, c'))"
    ]  # fmt: skip
    assert [job[0] for job in jobs("sweep.rows=my rows.csv", "seed=0,1")] == ["seed=0", "seed=0", "seed=1", "seed=1"]


def test_empty_cell_leaves_its_key_at_the_default(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("method,method.ramp,method.gate,seed\nfixmatch,0.3,,1\nself_training,,0.6,2\n")
    assert jobs(f"sweep.rows={rows}") == [
        ["seed=1", "method=fixmatch", "method.ramp=0.3"],
        ["seed=2", "method=self_training", "method.gate=0.6"],
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("", "needs a header with keys, such as threshold.tau, and a line for each run"),
        ("threshold.tau\n", "needs a header with keys"),
        ("threshold.tau,seed\n0.7\n", "line 2 has 1 cell, not 2"),
        ("threshold.tau,seed\n\n0.7,1\n\n0.8\n", "line 5 has 1 cell, not 2"),
    ],
)
def test_unusable_csv_file_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "rows.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        to_overrides([f"sweep.rows={path}"], sweep=True)


@pytest.mark.parametrize(
    ("header", "words", "message"),
    [
        ("seed,threshold.tau,seed ", (), "the header has the key seed twice"),
        ("seed,+seed,threshold.tau", (), r"the header has the key \+seed twice"),
        ("seed, ,threshold.tau", (), "column 2 of the header has no key"),
        ("seed,name,threshold.tau", ("threshold.tau=0.5",), "threshold.tau=.* is given twice"),
        (None, ("seed=zip(0,1)", "seed=3,4"), "seed=.* is given twice"),
        (None, ("seed=3", "seed=zip(0,1)"), "seed=.* is given twice"),
    ],
)
def test_key_with_two_sources_of_paired_values_is_refused(
    tmp_path: Path, header: str | None, words: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n1,a,0.7\n2,b,0.8\n")
    rows = [] if header is None else [f"sweep.rows={path}"]
    for typed in ([*rows, *words], [*words, *rows]):
        with pytest.raises(SettingError, match=message):
            to_overrides(typed, sweep=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("seed=zip(0,1)", "threshold.tau=zip(0.7,0.8,0.9)"), "seed has 2 and threshold.tau has 3"),
        (("seed=zip(0,1)", "hydra/sweeper=search"), "needs a grid .*; leave out hydra/sweeper, or type hydra/sweeper="),
    ],
)
def test_wrong_pairs_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        jobs(*words)


def test_zip_without_a_sweep_is_refused() -> None:
    with pytest.raises(SettingError, match="several values"):
        compose_command(to_overrides(["seed=zip(0,1)"]), False)


@pytest.mark.parametrize("launcher", ["basic", "cores"])
def test_rows_are_trained_once_and_reused(tmp_path: Path, launcher: str) -> None:
    if launcher == "cores":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    (tmp_path / "rows.csv").write_text("train.batch_size,seed\n4,0\n8,1\n")
    words = ["train", "-m", *TINY, "sweep.rows=rows.csv", f"hydra/launcher={launcher}"]
    words += ["hydra.launcher.n_jobs=1"] if launcher == "cores" else []
    command = [sys.executable, "-m", "semisup", *words]
    for reused in ("", " (2 reused)"):
        done = preloaded.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert f"2 runs: 2 done{reused}; 0 reference runs" in done.stdout
    runs = [json.loads(path.read_text())["command"] for path in sorted(tmp_path.glob("outputs/runs/*/run.json"))]
    assert sorted(command.partition("train.batch_size=")[2].split()[0] for command in runs) == ["4", "8"]
