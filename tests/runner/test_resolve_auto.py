"""Test runs with `auto` settings that began or finished on a machine where `auto` has another value."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from semisup.cli.train import train_command as typed
from semisup.config import schema
from semisup.core.events import StepEnd
from semisup.dataset import Data
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from semisup.runner.resolve_auto import resolve_auto
from semisup.runner.result import RunResult, run_folder
from tests.conftest import compose, toy_problem
from tests.runner.test_shared_start import SMALL, written

WORDS = [*(word for word in SMALL if not word.startswith("device")), "device=auto"]
normal = schema.normalize


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Values of `auto` by key, which tests can set; a missing key has the value of this machine."""
    problem = toy_problem(labeled=12, unlabeled=30)
    images = (problem.labeled, problem.unlabeled, problem.validation, problem.test)
    data = Data(*images, problem.hidden_targets, ("one", "two", "three"), "made up", {})
    monkeypatch.setattr(run_module, "load_data", lambda *_: (problem, data))
    means: dict[str, str] = {}
    said = lambda plain: {key: value for key, value in means.items() if plain.get(key) == "auto"}  # noqa: E731
    monkeypatch.setattr(schema, "normalize", lambda plain: normal(plain | said(plain)))
    return means


def run(folder: Path, *words: str) -> RunResult:
    config = compose(*WORDS, f"output_root={folder}", *words)
    return run_module.run(resolve_auto(config), Bars(), in_sweep=True)


def stopped(folder: Path, *words: str) -> RunResult:
    """Train the same run, and stop it at its seventh step."""
    train = run_module.train

    def stopping(*of: Any) -> Iterator[Any]:
        for event in train(*of):
            if isinstance(event, StepEnd) and event.step == 7:
                signal.raise_signal(signal.SIGTERM)
            yield event

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "train", stopping)
        return run(folder, *words)


def test_run_with_auto_keeps_its_first_values_when_resumed_and_reused(tmp_path: Path, machine: dict[str, str]) -> None:
    alone = run(tmp_path / "alone", "precision=bfloat16")
    machine["precision"] = "bfloat16"
    begun = stopped(tmp_path, "precision=auto")
    assert begun.status == "interrupted"
    machine["precision"] = "float32"
    ended = run(tmp_path, "precision=auto")
    assert ended.status == "done", ended.message
    assert ended.folder == begun.folder
    assert written(ended.folder) == written(alone.folder)
    assert run(tmp_path, "precision=auto").kept
    assert not run(tmp_path, "precision=float32").kept, "what is asked for by name is what is made"
    assert run(tmp_path, "precision=auto").folder.name != begun.folder.name, "its own comes first"


def test_run_that_cannot_continue_on_this_device_is_trained_again(tmp_path: Path, machine: dict[str, str]) -> None:
    machine["device"] = "cpu"
    begun = stopped(tmp_path)
    config = yaml.safe_load((begun.folder / "config.yaml").read_text()) | {"device": "cuda"}
    on_gpu = run_folder(schema.validate(config, elsewhere=True))
    begun.folder.rename(on_gpu)
    ended = run(tmp_path)
    assert (ended.status, ended.folder) == ("done", begun.folder)
    assert (on_gpu / "run.json").exists()


def test_run_finished_on_a_gpu_is_reused_without_a_gpu(tmp_path: Path) -> None:
    words = ["method=supervised", "tracking=none", "plots=false", "train.epochs=1", f"output_root={tmp_path}"]
    assert typed(words) == 0
    (done,) = tmp_path.glob("runs/*/")
    config = yaml.safe_load((done / "config.yaml").read_text()) | {"device": "cuda"}
    on_gpu = run_folder(schema.validate(config, elsewhere=True))
    done.rename(on_gpu)
    assert typed(words) == 0
    assert list(tmp_path.glob("runs/*/")) == [on_gpu], "nothing was trained"
