"""Successive halving: poor settings stop at a rung, good ones continue to the same bits, also after a kill."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from semisup.config.typed_words import to_overrides
from semisup.errors import SettingError
from semisup.record.rung import RungScore
from semisup.sweep.halving import best_settings, group_by_setting, halving_batches
from semisup.sweep.job_store import JobStore
from semisup.sweep.preflight import compose_command, job_overrides
from semisup.sweep.sweepers import sweeper_settings
from tests import preloaded
from tests.kill.oracles import content, files
from tests.preloaded import Preloaded

TINY = (
    *("tracking=none", "plots=false", "model=mlp", "train.steps=24", "train.evaluate_every_steps=4"),
    *("method=fixmatch", "sweep.control=false", "name=h"),
)
GRID = ("optimizer.lr=1e-7,0.03,0.003", "seed=0")
HALVING = ("hydra/sweeper=halving", "hydra.sweeper.rungs=[0.2,0.5]", "hydra.sweeper.eta=2")
CORES = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def command(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "semisup", "train", "-m", *TINY, *GRID, f"output_root={root}", *words]


def sweep(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = preloaded.run(command(root, *words), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def records(root: Path) -> dict[str, dict[str, Any]]:
    """All files of every run, without times, paths and the history of interruptions."""
    runs = {}
    for folder in sorted(path.parent for path in root.glob("h/*/run.json")):
        runs[folder.name] = {name: content(name, path) for name, path in files(folder).items()}
        runs[folder.name]["run.json"].pop("command")
    return runs


def decisions(root: Path) -> list[Any]:
    recorded: list[Any] = json.loads(max(root.glob("h/sweeps/*/halving.json")).read_text())["decisions"]
    return recorded


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("halved")
    done = sweep(root, *HALVING)
    assert "halving: rung 1 of 2, step 8: 2 of 3 settings continue, the best is optimizer.lr=0.0" in done.stdout
    assert "1 done, 2 stopped" in done.stdout
    return root


def test_best_settings_finish_as_in_a_grid_and_the_others_stop_at_a_rung(halved: Path, tmp_path: Path) -> None:
    counts = [(sum(each["continues"] for each in rung), len(rung)) for rung in decisions(halved)]
    assert counts == [(2, 3), (1, 2)]
    runs = {name: record["run.json"] for name, record in records(halved).items()}
    steps = sorted((about["status"], (about["error"] or {}).get("message")) for about in runs.values())
    assert steps == [("done", None), *(("stopped", f"stopped by halving at step {step}") for step in (12, 8))]
    shown = preloaded.run(
        [sys.executable, "-m", "semisup", "compare", str(halved / "h")], capture_output=True, text=True, timeout=120
    )
    assert shown.returncode == 0, shown.stderr
    assert "stopped by halving at step 8" in shown.stdout
    assert "without hydra/sweeper=halving continues" in shown.stdout
    grid = tmp_path / "grid"
    sweep(grid)
    whole, partial = records(grid), records(halved)
    for name, about in runs.items():
        if about["status"] == "done":
            assert partial[name] == whole[name], "bit for bit"
    sweep(halved)
    assert records(halved) == whole, "the grid continues the stopped runs to the same bits"


def test_two_workers_stop_the_same_runs(halved: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep(tmp_path, *HALVING, *CORES)
    assert decisions(tmp_path) == decisions(halved)


def test_killed_halving_continues_to_the_same_record(halved: Path, tmp_path: Path) -> None:
    process = Preloaded(command(tmp_path, *HALVING), stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not any(json.loads(path.read_text())["number"] for path in tmp_path.glob("h/sweeps/*/halving.json")):
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=30)
    sweep(tmp_path, *HALVING)
    assert decisions(tmp_path) == decisions(halved)


def test_settings_are_compared_by_all_their_seeds_and_failures_do_not_continue() -> None:
    plan = [["name=x", f"lr={rate}", f"seed={seed}"] for seed in (0, 1) for rate in (1, 2)]
    assert group_by_setting(plan) == {("lr=1",): [0, 2], ("lr=2",): [1, 3]}
    plan = [[f"lr={rate}", f"dataset.split_seed={seed}", "dataset.fold=0"] for seed in (0, 1) for rate in (1, 2)]
    assert group_by_setting(plan) == {("lr=1",): [0, 2], ("lr=2",): [1, 3]}
    scores = {("a",): 0.5, ("b",): None, ("c",): 0.7, ("d",): 0.7, ("e",): 0.1}
    assert best_settings(scores, 3) == [("c",), ("d",)], "of 5, rounded up; of equal ones the first"
    assert len(best_settings({(str(number),): 0.5 for number in range(21)}, 1.4)) == 15, "not 16 by rounding"
    assert best_settings({("a",): None, ("b",): 0.1, ("c",): None}, 1.1) == [("b",)]


def stopped(folder: Path, accuracy: float) -> dict[str, Any]:
    """Write the files of a run that was stopped at step 24, and return its entry."""
    folder.mkdir(exist_ok=True)
    train = {"steps": 100, "epochs": None, "evaluate_every_steps": 8, "evaluate_every": 1, "select_by": "accuracy"}
    (folder / "config.yaml").write_text(yaml.safe_dump({"train": train}))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 24, "epoch": 1, "val/accuracy": accuracy}) + "\n")
    return {"status": "stopped", "folder": str(folder), "companions": []}


def test_settings_with_the_same_runs_count_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = JobStore(tmp_path / "sweep")
    weights = (("0", "0.7"), ("0", "0.8"), ("0", "0.9"), ("1", "0.7"), ("1", "0.8"), ("1", "0.9"))
    store.begin([[f"weight={weight}", f"tau={tau}"] for weight, tau in weights], "x", is_open=True)
    batches = halving_batches(store, [0.2], 2)
    assert next(batches) == [*range(6)]
    runs = [stopped(tmp_path / name, accuracy) for name, accuracy in zip("abcd", (0.9, 0.8, 0.7, 0.6), strict=True)]
    for number, run in enumerate((0, 0, 0, 1, 2, 3)):
        store._write(f"jobs/{number:05d}.json", runs[run])
    assert next(batches) == [0, 1, 2, 3], "the copies continue together, and do not take the place of another setting"
    assert "2 of 4 settings continue, the best is weight=0 tau=0.7" in capsys.readouterr().out


def test_halving_ends_at_the_first_rung_if_all_settings_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = JobStore(tmp_path / "sweep")
    store.begin([["optimizer.lr=1e20"], ["optimizer.lr=1e21"]], "x", is_open=True)
    batches = halving_batches(store, [0.2, 0.5], 2)
    assert next(batches) == [0, 1]
    for number in (0, 1):
        entry = {"status": "diverged", "folder": str(tmp_path / f"{number}"), "companions": []}
        store._write(f"jobs/{number:05d}.json", entry)
    assert [*batches] == [[]]
    assert not store.is_open()
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "halving: rung 1 of 2: no setting continues, because each has a failed run; the sweep ends"


@pytest.mark.parametrize(("metric", "best", "score"), [("accuracy", 0.6, 0.6), ("loss", 0.4, -0.4)])
def test_rung_is_the_first_evaluation_after_its_share(metric: str, best: float, score: float) -> None:
    train = {"steps": 100, "epochs": None, "evaluate_every_steps": 10, "evaluate_every": 1, "select_by": metric}
    values = [(10, 0.6), (20, 0.4), (30, 0.5), (40, 0.9), (50, 0.1)]
    rung = RungScore(train, 0.25).add({"step": step, f"val/{metric}": value} for step, value in values)
    assert (rung.step, rung.best, rung.score) == (30, best, score)
    by_fives = RungScore(train | {"evaluate_every_steps": 5}, 0.55)  # 0.55 * 100 is slightly above 55
    assert by_fives.add({"step": step, f"val/{metric}": 0.5} for step in (50, 55, 60)).step == 55
    in_epochs = RungScore(train | {"steps": None, "epochs": 10, "evaluate_every_steps": None}, 0.2)
    in_epochs.add([{"step": 7, "epoch": 1, f"val/{metric}": 0.3}, {"step": 9, "epoch": 2, "pseudo/round": 1}])
    assert not in_epochs.reached
    assert in_epochs.add([{"step": 14, "epoch": 2, f"val/{metric}": 0.3}]).step == 14


def test_evaluations_that_only_the_method_needs_do_not_count_at_a_rung() -> None:
    """Self-training evaluates at epochs 1, 4, 7, ... before it labels, and so would reach the rung earlier."""
    every = {"evaluate_every_steps": None, "evaluate_every": 5}
    rows = [{"step": 3 * epoch, "epoch": epoch, "val/accuracy": value} for epoch, value in ((4, 0.9), (5, 0.5), (7, 1))]
    rung = RungScore({"steps": None, "epochs": 10, "select_by": "accuracy"} | every, 0.4).add(rows)
    assert (rung.step, rung.score) == (15, 0.5)
    by_steps = {"evaluate_every_steps": 10, "evaluate_every": 1}
    rung = RungScore({"steps": 21, "epochs": None, "select_by": "accuracy"} | by_steps, 0.5).add(rows[:2])
    assert rung.add([{"step": 21, "epoch": 7, "val/accuracy": 0.6}]).score == 0.6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("hydra.sweeper.rungs=[0.5,0.2]",), "hydra.sweeper.rungs=.* must be a list of increasing shares"),
        (("hydra.sweeper.rungs=[]",), "must be a list of increasing shares"),
        (("hydra.sweeper.rungs=0.2",), "must be a list of increasing shares"),
        (("hydra.sweeper.eta=1",), "hydra.sweeper.eta=1: must be above 1"),
        (("hydra.sweeper.eta=x",), "must be above 1"),
        (("hydra.sweeper.rungs=[0.2,0.3]",), "the rung 0.2 and the rung 0.3 have the same evaluation, after 8 steps"),
        (("hydra.sweeper.rungs=[0.9]",), "the rung 0.9 and the end of the training have the same evaluation, after 24"),
        (
            ("train.steps=null", "train.epochs=1"),
            "the rung 0.2 and the rung 0.5 have the same evaluation, after 1 epoch; choose other rungs or train.steps",
        ),
        (("optimizer.lr=0.1",), "needs several values of a setting to compare, such as threshold.tau=0.7,0.9"),
        (("optimizer.lr=0.1", "dataset.split_seed=0,1"), "and dataset.split_seed only repeat a setting"),
        (
            ("dataset.labels_per_class=4,8",),
            "dataset.labels_per_class=4,8: hydra/sweeper=halving compares runs on the same data .only dataset.fold and "
            "dataset.split_seed .*; type one value, such as dataset.labels_per_class=4, or leave out "
            "hydra/sweeper=halving",
        ),
        (("sweep.rows={rows}",), "dataset.labels_per_class=8: hydra/sweeper=halving compares runs on the same data"),
        (("train.select_by=accuracy,loss",), "type one value"),
        (("threshold.tau=interval(0,1)",), "is a range: add hydra/sweeper=search"),
        (("threshold.tau=zip(0.7,0.9,0.8)", "seed=zip(0,1)"), "same number of values"),
    ],
)
def test_wrong_settings_of_halving_are_refused(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("threshold.tau,dataset.labels_per_class\n0.7,\n0.9,8\n")
    words = tuple(word.replace("{rows}", str(rows)) for word in words)
    last = {word.partition("=")[0]: word for word in (*TINY, *GRID, *HALVING, *words)}
    typed = to_overrides([*last.values()], sweep=True)
    with pytest.raises(SettingError, match=message):
        composed = compose_command(typed, True)
        sweeper_settings(composed, typed, job_overrides(composed, typed))


@pytest.mark.parametrize("name", ["halving", "search"])
def test_sweeper_of_a_command_without_m_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"^hydra/sweeper={name}: is only used by a sweep; add -m to start a sweep$"):
        compose_command([f"hydra/sweeper={name}"], asked=False)


def test_signal_stops_halving_and_nothing_is_decided(tmp_path: Path) -> None:
    long = ("train.steps=100000", "train.evaluate_every_steps=10000")
    with Preloaded(command(tmp_path, *HALVING, *long), stdout=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 120
        while not list(tmp_path.glob("h/*/owner.json")):
            assert time.monotonic() < limit
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 75, output
    assert decisions(tmp_path) == []
    assert "the same command again to continue" in output
