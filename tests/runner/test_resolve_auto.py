"""A run that another machine began, or finished, where `auto` means something else than here."""

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
normal = schema._normalize


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What `auto` means, by key; where nothing is said, what it means here."""
    problem = toy_problem(labeled=12, unlabeled=30)
    images = (problem.labeled, problem.unlabeled, problem.validation, problem.test)
    data = Data(*images, problem.hidden_targets, ("one", "two", "three"), "made up", {})
    monkeypatch.setattr(run_module, "load_data", lambda *_: (problem, data))
    means: dict[str, str] = {}
    said = lambda plain: {key: value for key, value in means.items() if plain.get(key) == "auto"}  # noqa: E731
    monkeypatch.setattr(schema, "_normalize", lambda plain: normal(plain | said(plain)))
    return means


def run(folder: Path, *words: str) -> RunResult:
    config = compose(*WORDS, f"output_root={folder}", *words)
    return run_module.run(resolve_auto(config), Bars(), in_sweep=True)


def stopped(folder: Path, *words: str) -> RunResult:
    """The same, asked to stop at its seventh step."""
    train = run_module.train

    def stopping(*of: Any) -> Iterator[Any]:
        for event in train(*of):
            if isinstance(event, StepEnd) and event.step == 7:
                signal.raise_signal(signal.SIGTERM)
            yield event

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "train", stopping)
        return run(folder, *words)


def test_it_is_continued_as_it_was_begun_and_kept_when_it_is_done(tmp_path: Path, machine: dict[str, str]) -> None:
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


def test_what_cannot_be_continued_here_is_made_here(tmp_path: Path, machine: dict[str, str]) -> None:
    machine["device"] = "cpu"
    begun = stopped(tmp_path)
    config = yaml.safe_load((begun.folder / "config.yaml").read_text()) | {"device": "cuda"}
    on_gpu = run_folder(schema.validate(config, elsewhere=True))
    begun.folder.rename(on_gpu)
    ended = run(tmp_path)
    assert (ended.status, ended.folder) == ("done", begun.folder)
    assert (on_gpu / "run.json").exists()


def test_what_a_gpu_finished_is_kept_where_there_is_none(tmp_path: Path) -> None:
    words = ["method=supervised", "tracking=none", "plots=false", "train.epochs=1", f"output_root={tmp_path}"]
    assert typed(words) == 0
    (done,) = tmp_path.glob("runs/*/")
    config = yaml.safe_load((done / "config.yaml").read_text()) | {"device": "cuda"}
    on_gpu = run_folder(schema.validate(config, elsewhere=True))
    done.rename(on_gpu)
    assert typed(words) == 0
    assert list(tmp_path.glob("runs/*/")) == [on_gpu], "nothing was trained"
