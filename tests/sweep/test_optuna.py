"""Search with Optuna: it optimizes train.select_by, and the same command continues the search."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from semisup.config.typed_words import to_overrides
from semisup.errors import SettingError
from semisup.sweep import sweepers
from semisup.sweep.job_store import JobStore
from semisup.sweep.preflight import compose_command, job_overrides, validate_command
from semisup.sweep.search import build_distributions, parse_space, search_batches
from tests import preloaded
from tests.preloaded import Preloaded

pytest.importorskip("optuna", reason="no Optuna here (the extra `optuna` brings it)")

TINY = (
    *("tracking=none", "plots=false", "model.widths=[4,8]", "train.steps=40", "train.evaluate_every_steps=20"),
    *("sweep.control=false", "hydra/sweeper=search", "hydra.sweeper.n_trials=3"),
)
SPACE = ("threshold.tau=interval(0.6, 0.99)", "optimizer.lr=choice(0.001, 1e12)")


def command(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "semisup", "train", "-m", *TINY, *SPACE, f"output_root={root}", *words]


def search(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return preloaded.run(command(root, *words), capture_output=True, text=True, timeout=240)


def entries(root: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(root.glob("runs/sweeps/*/jobs/*.json"))]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    root = tmp_path_factory.mktemp("searched")
    return root, search(root)


def test_search_maximizes_validation_accuracy_survives_a_failure_and_continues(
    searched: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    root, done = searched
    recorded = entries(root)
    assert len(recorded) == 3, done.stdout + done.stderr
    statuses = [entry["status"] for entry in recorded]
    assert set(statuses) == {"done", "diverged"}, "a learning rate of 1e12 is among what is tried"
    assert done.returncode == 1, "which the exit status tells"
    accuracies = {
        entry["folder"]: json.loads((Path(entry["folder"]) / "summary.json").read_text())["best/val/accuracy"]
        for entry in recorded
        if entry["status"] == "done"
    }
    (results,) = (yaml.safe_load(path.read_text()) for path in root.glob("runs/sweeps/*/optimization_results.yaml"))
    assert results["best_value"] == max(accuracies.values())
    best = yaml.safe_load((Path(max(accuracies, key=lambda each: accuracies[each])) / "config.yaml").read_text())
    assert best["threshold"]["tau"] == results["best_params"]["threshold.tau"]
    again = search(root)
    assert f"({len(accuracies)} reused)" in again.stdout
    assert len(list(root.glob("runs/*/config.yaml"))) == 3, "it asks for the same settings"


def test_killed_search_continues_with_the_same_settings(
    searched: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    process = Preloaded(command(tmp_path), stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not any(entry["status"] in ("done", "diverged") for entry in entries(tmp_path)):
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=30)
    search(tmp_path)
    names = [{path.parent.name for path in root.glob("runs/*/config.yaml")} for root in (searched[0], tmp_path)]
    assert len(names[0]) == 3
    assert names[0] == names[1]


def test_search_proposes_the_same_settings_if_it_is_told_the_same_results(tmp_path: Path) -> None:
    words = ["threshold.tau=tag(log,interval(0.1,0.9))", "augment.strength=range(0,0.5,0.1)", "seed=range(0,4)"]
    words += ["threshold=fixed,flexmatch", "train.steps=40", "threshold.momentum=choice(0.9)"]
    assert parse_space(words).fixed == ["train.steps=40", "threshold.momentum=0.9"]
    plans = []
    for name, batch in (("one", 1), ("again", 1), ("two", 2)):
        store = JobStore(tmp_path / name)
        store.begin(None, name, is_open=True)
        for number, numbers in enumerate(search_batches(store, 14, batch, 0, words, "accuracy")):
            assert numbers == [*range(number * batch, number * batch + batch)]
            for each in numbers:
                store._write(f"jobs/{each:05d}.json", finished(tmp_path / f"{each}", 0.1 * (each % 3)))
        assert not store.is_open()
        plans.append(store.plan() or [])
    assert plans[0] == plans[1] != plans[2]
    tried = [dict(word.split("=") for word in job) for job in plans[0]]
    assert {each["seed"] for each in tried} <= {"0", "1", "2", "3"}
    assert {round(float(each["augment.strength"]) * 10, 9) for each in tried} <= {0, 1, 2, 3, 4}
    assert all(0.1 <= float(each["threshold.tau"]) <= 0.9 for each in tried)


@pytest.mark.parametrize("text", ["range(0,1,0.3)", "range(0.1,1,0.1)", "range(0.6,1,0.05)", "range(0,7,2)"])
def test_search_tries_every_value_of_a_range(text: str) -> None:
    space = parse_space([f"augment.strength={text}"])
    (override,) = space.swept.values()
    ((key, distribution),) = build_distributions(space).items()
    values = [distribution.to_external_repr(each) for each in grid(distribution)]
    expected = [f"augment.strength={value}" for value in override.sweep_string_iterator()]
    assert [space.word(key, value) for value in values] == expected


def grid(distribution: Any) -> list[float]:
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    return [distribution.low + number * distribution.step for number in range(count)]


@pytest.mark.parametrize(("metric", "best"), [("loss", 0.1), ("macro_f1", 0.3)])
def test_search_optimizes_the_metric_of_select_by(metric: str, best: float, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "sweep")
    store.begin(None, "x", is_open=True)
    for (number,) in search_batches(store, 3, 1, 0, ["threshold.tau=interval(0.1,0.9)"], metric):
        value = (0.2, 0.1, 0.3)[number]
        store._write(f"jobs/{number:05d}.json", finished(tmp_path / f"{number}", 0.5, **{f"best/val/{metric}": value}))
    results = json.loads((store.folder / "optimization_results.yaml").read_text())
    assert results["best_value"] == best
    job = (store.plan() or [])[(0.2, 0.1, 0.3).index(best)]
    assert job == [f"threshold.tau={results['best_params']['threshold.tau']}"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("threshold.tau=interval(0.6,1.5)", r"^threshold.tau=1.5: must be in \[0, 1\]"),
        ("threshold.taw=interval(0.6,0.9)", "no such key .did you mean threshold.tau"),
    ],
)
def test_both_ends_of_an_interval_are_validated_before_the_first_run(word: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        validate_command(compose_command([*TINY, word], True))


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        ("interval(8,16)", "int(interval(8,16))"),
        ("tag(log,interval(8,16))", "tag(log,int(interval(8,16)))"),
        ("interval(8.5,16)", "interval(8.5,16)"),
    ],
)
def test_interval_of_an_integer_setting_contains_only_integers(typed: str, searched: str) -> None:
    words = [*TINY, f"train.batch_size={typed}"]
    settings = sweepers.sweeper_settings(compose_command(words, True), words, None)
    assert settings is not None
    assert settings["words"][-1] == f"train.batch_size={searched}"
    (distribution,) = build_distributions(parse_space(settings["words"])).values()
    assert isinstance(distribution.low, int) == searched.endswith("))")


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        ("method.ramp=interval(0,1)", "method.ramp=interval(0,1)"),
        ("augment.strength=interval(0,1)", "augment.strength=interval(0,1)"),
        ("train.head_first=interval(0,0.5)", "train.head_first=interval(0,0.5)"),
        ("method.ratio=interval(1,7)", "method.ratio=int(interval(1,7))"),
        ("train.steps=interval(100,400)", "train.steps=int(interval(100,400))"),
    ],
)
def test_type_of_an_interval_follows_the_setting_and_not_its_default(typed: str, searched: str) -> None:
    words = [*TINY, "method=fixmatch", typed]
    command = compose_command(words, True)
    assert command.intervals == {typed.partition("=")[0]: searched}


def finished(folder: Path, accuracy: float, **metrics: float) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps({"best/val/accuracy": accuracy} | metrics))
    return {"status": "done", "folder": str(folder), "companions": []}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("hydra.sweeper.n_trials=0",), "hydra.sweeper.n_trials=0: must be an integer of at least 1"),
        (("hydra.sweeper.n_jobs=x",), "hydra.sweeper.n_jobs=x: must be an integer of at least 1"),
        (("hydra.sweeper.sampler.seed=-1",), "hydra.sweeper.sampler.seed=-1"),
        (("threshold.tau=0.7", "optimizer.lr=0.1"), "has nothing to search"),
        (("threshold.tau=interval(0.99,0.6)",), r"threshold.tau=interval\(0.99,0.6\): is not a valid range"),
        (("threshold.tau=tag(log,interval(0,1))",), r"threshold.tau=tag\(log,interval\(0,1\)\): is not a valid range"),
        (("threshold.tau=interval(0,inf)",), r"threshold.tau=interval\(0,inf\): .*an end is not finite"),
        (("seed=0,1",), "seed=0,1: .* search one seed, then repeat the best settings with seed=0,1,2"),
        (
            ("dataset.fold=0,1",),
            "dataset.fold=0,1: .* search one fold, then repeat the best settings with dataset.fold=0,1,2",
        ),
        (("train.select_by=accuracy,loss",), "hydra/sweeper=search compares runs by this metric"),
        (("no optuna",), "needs Optuna; type pip install 'semisup.optuna.'"),
    ],
)
def test_wrong_settings_of_a_search_are_refused(
    words: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if words == ("no optuna",):
        monkeypatch.setattr(sweepers, "find_spec", lambda _: None)
        words = ()
    typed = to_overrides([*TINY, *SPACE, *words], sweep=True)
    typed = [*{word.partition("=")[0]: word for word in typed}.values()]
    with pytest.raises(SettingError, match=message):
        composed = compose_command(typed, True)
        sweepers.sweeper_settings(composed, typed, job_overrides(composed, typed))
