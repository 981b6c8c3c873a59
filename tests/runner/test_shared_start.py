"""Test shared starts: runs of a sweep share their first part, and their files equal those of separate runs."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from semisup.config import schema
from semisup.config.schema import RunConfig
from semisup.core.events import StepEnd
from semisup.dataset import Data
from semisup.record import checkpoint, environment
from semisup.record.environment import source_digest
from semisup.record.reader import read_json
from semisup.record.shared_start import WAIT_SECONDS, SharedStart, SharedStartCache
from semisup.runner import metadata, result, shared_start
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from semisup.runner.result import RunResult
from tests.conftest import compose, toy_problem
from tests.kill.oracles import content, files
from tests.preloaded import Preloaded
from tests.tracking.test_track import rows, shown

SMALL = (
    *("tracking=none", "plots=false", "model.widths=[4,8]", "device=cpu", "collapse.warn_below=null"),
    *("method.gate=0.5", "method.refresh_every=2", "train.evaluate_every=2", "train.steps=60"),
    *("train.batch_size=6", "optimizer.lr=0.01", "augment.strength=0.3"),
)
POLICIES = (
    ("threshold.tau=0.2",),
    ("threshold=flexmatch", "threshold.tau=0.5", "method.lambda_unlabeled=3"),
    ("threshold=dash",),
)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create random training data."""
    problem = toy_problem(labeled=12, unlabeled=30)
    images = (problem.labeled, problem.unlabeled, problem.validation, problem.test)
    data = Data(*images, problem.hidden_targets, ("one", "two", "three"), "made up", {})
    monkeypatch.setattr(run_module, "load_data", lambda *_: (problem, data))


def checked(folder: Path, name: str, *words: str, share: bool = True) -> RunConfig:
    own = (f"output_root={folder}", f"name={name}", f"sweep.share_start={str(share).lower()}")
    return schema.validate(compose(*SMALL, *own, *words))


def run(folder: Path, name: str, *words: str, share: bool = True) -> RunResult:
    """Train one run of a sweep."""
    outcome = run_module.run(checked(folder, name, *words, share=share), Bars(), in_sweep=True)
    assert outcome.status == "done", outcome.message
    return outcome


def written(folder: Path) -> dict[str, Any]:
    """Read all files of a run, without times, paths and the entry about the shared start in run.json."""
    found = {name: content(name, path) for name, path in files(folder).items()}
    found["config.yaml"] |= {"name": None, "sweep": None}
    found["run.json"] = {key: value for key, value in found["run.json"].items() if key not in ("name", "shared_start")}
    return found


def warm_ups(folder: Path, name: str) -> list[Path]:
    return sorted((folder / name / ".shared_start").rglob("*.pt"))


@pytest.mark.parametrize(
    "method",
    [
        ("method=self_training", "labeler.calibrate=true"),
        ("method=self_training", "train.ema_decay=0.9", "schedule=cosine"),
        ("method=noisy_student",),
    ],
    ids=["calibrated", "averaged", "noisy_student"],
)
def test_runs_from_a_shared_start_have_the_files_of_separate_runs(tmp_path: Path, method: tuple[str, ...]) -> None:
    labeled = {}
    for number, words in enumerate(POLICIES):
        alone = run(tmp_path, "apart", *method, *words, share=False)
        outcome = run(tmp_path, "together", *method, *words)
        assert written(outcome.folder) == written(alone.folder)
        assert alone.shared_start is None
        assert outcome.folder.name == alone.folder.name, "sharing is not part of what a run is called"
        assert (outcome.shared_start is not None) == (number > 0), "the first makes it, the others begin with it"
        if outcome.shared_start is not None:
            assert 0 < outcome.shared_start["steps"] < (outcome.summary or {})["steps"]
            assert outcome.shared_start["from"].startswith(method[0].removeprefix("method="))
            assert (
                read_json(
                    outcome.folder / "run.json",
                )["shared_start"]
                == outcome.shared_start
            )  # type: ignore[index]
        labeled[outcome.folder] = (outcome.folder / "metrics.jsonl").read_text()
    assert len(set(labeled.values())) == len(POLICIES), "the thresholds matter afterwards"
    assert not warm_ups(tmp_path, "apart")
    assert len(warm_ups(tmp_path, "together")) == 1


def test_runs_that_never_pass_the_gate_share_the_whole_training(tmp_path: Path) -> None:
    for tau in (0.2, 0.6):
        words = ("method.gate=1", f"threshold.tau={tau}")
        alone, outcome = run(tmp_path, "apart", *words, share=False), run(tmp_path, "together", *words)
        assert written(outcome.folder) == written(alone.folder)
    assert outcome.shared_start is not None
    assert outcome.shared_start["steps"] == (outcome.summary or {})["steps"]


@pytest.mark.parametrize(
    "other",
    [
        *("seed=1", "augment.strength=0.4", "method.gate=0.51", "method.refresh_every=4", "train.steps=61"),
        *("optimizer.lr=0.002", "labeler.calibrate=true", "dataset.labels_per_class=5", "method=noisy_student"),
        *("threads=2", "method.lambda_unlabeled=0"),
    ],
)
def test_runs_with_other_early_settings_share_no_start(tmp_path: Path, other: str) -> None:
    def of(*words: str) -> Any:
        one = checked(tmp_path, "a", *words)
        return shared_start.shared_config(one), shared_start._result_environment(metadata.environment_of(one))

    assert of() == of("threshold=freematch", "plots=true", "method.lambda_unlabeled=2", "checkpoint.every_steps=3")
    assert of() != of(other)


def test_runs_with_several_processes_or_other_code_share_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by = metadata.environment_of(checked(tmp_path, "a"))
    assert shared_start._result_environment(made_by) == shared_start._result_environment(
        made_by | {"host": "another", "git": None}
    )
    assert shared_start._result_environment(made_by) != shared_start._result_environment(made_by | {"processes": 2})
    before = source_digest.__wrapped__()
    assert before == source_digest() == source_digest.__wrapped__()
    shutil.copytree(Path(environment.__file__).parents[1], tmp_path / "semisup")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "semisup" / "record" / "environment.py"))
    assert source_digest.__wrapped__() == before, "it is the same code, without git"
    with (tmp_path / "semisup" / "loss.py").open("a") as file:
        file.write("# a change")
    assert source_digest.__wrapped__() != before


@pytest.mark.parametrize("method", ["supervised", "fixmatch"])
def test_methods_without_a_labels_only_phase_share_no_start(method: str) -> None:
    assert shared_start.shared_config(schema.validate(compose(f"method={method}"))) is None


def damaged(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def of_another(path: Path) -> None:
    """Replace the shared start by an undamaged one of other settings."""
    found = SharedStartCache(path.parent, {})
    found.lock.acquire()
    snapshot = {"step": 10_000, "epoch": 1}
    found.owned = True
    found.save(SharedStart(snapshot, {}, None, "another", 0.0))
    path.unlink()


@pytest.mark.parametrize("harm", [damaged, of_another])
def test_damaged_or_foreign_shared_start_is_computed_again(tmp_path: Path, harm: Any) -> None:
    run(tmp_path, "together", "threshold.tau=0.2")
    (path,) = warm_ups(tmp_path, "together")
    harm(path)
    with pytest.warns(UserWarning, match="is not usable and is computed again"):
        outcome = run(tmp_path, "together", "threshold.tau=0.6")
    assert outcome.shared_start is None
    assert written(outcome.folder) == written(run(tmp_path, "apart", "threshold.tau=0.6", share=False).folder)
    (again,) = warm_ups(tmp_path, "together")
    assert "snapshot" in checkpoint.load(again)


def test_waiting_process_does_not_remove_a_damaged_file(tmp_path: Path) -> None:
    run(tmp_path, "together", "threshold.tau=0.2")
    (path,) = warm_ups(tmp_path, "together")
    damaged(path)
    with pytest.warns(UserWarning, match="is not usable and is computed again"):
        assert SharedStartCache(path.parent, {})._find() is None
    assert path.exists()


def test_run_continues_if_another_process_takes_over_its_shared_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = checkpoint.save

    def taken_over(folder: Path, kind: str, *values: Any) -> Path:
        if kind == "shared_start":
            for owner in tmp_path.rglob(".shared_start/*/owner.json"):
                owner.write_text("{}")
        return save(folder, kind, *values)

    monkeypatch.setattr(checkpoint, "save", taken_over)
    with pytest.warns(UserWarning, match="the start of the training is not shared with other runs: .*no longer holds"):
        outcome = run(tmp_path, "together", "threshold.tau=0.2")
    assert written(outcome.folder) == written(run(tmp_path, "apart", "threshold.tau=0.2", share=False).folder)


def test_failed_run_releases_processes_that_wait_for_its_start(tmp_path: Path) -> None:
    for tau in (0.2, 0.6):
        outcome = run_module.run(
            checked(tmp_path, "together", "optimizer.lr=1e12", f"threshold.tau={tau}"), Bars(), in_sweep=True
        )
        assert outcome.status == "diverged"
    assert not list(tmp_path.rglob("owner.json"))


OWNER = """
import sys, time
from pathlib import Path
from semisup.record.lock import RunLock
RunLock(Path(sys.argv[1])).acquire()
print("taken", flush=True)
time.sleep(600)
"""


def test_second_run_waits_and_takes_over_if_the_first_is_killed(tmp_path: Path) -> None:
    alone = run(tmp_path, "apart", "threshold.tau=0.6", share=False)
    run(tmp_path, "together", "threshold.tau=0.2")
    (path,) = warm_ups(tmp_path, "together")
    kept = path.read_bytes()
    path.unlink()
    with Preloaded([sys.executable, "-c", OWNER, path.parent], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"taken\n"
        wanted = checked(tmp_path, "together", "threshold.tau=0.6")
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(run_module.run, wanted, Bars(), in_sweep=True)
            while not (result.run_folder(wanted) / "data_report.json").exists():
                time.sleep(0.05)
            time.sleep(3 * WAIT_SECONDS)
            assert not (result.run_folder(wanted) / "metrics.jsonl").exists(), "it waits"
            other.kill()
            outcome = waiting.result(timeout=60)
    assert outcome.status == "done", outcome.message
    assert outcome.shared_start is None, "made again"
    assert written(outcome.folder) == written(alone.folder)
    (again,) = warm_ups(tmp_path, "together")
    ours, theirs = checkpoint.load(again), torch.load(io.BytesIO(kept), weights_only=True)
    assert torch.equal(ours["snapshot"]["student"]["0.weight"], theirs["snapshot"]["student"]["0.weight"])


@pytest.mark.parametrize("when", ["before", "after"])
def test_kill_at_the_end_of_a_shared_start_changes_nothing(tmp_path: Path, when: str) -> None:
    words = ("threshold.tau=0.2", "checkpoint.every_steps=5")
    alone = run(tmp_path, "apart", *words, share=False)
    wanted = checked(tmp_path, "together", *words)
    if (child := os.fork()) == 0:
        keep = SharedStartCache.save

        def die(store: SharedStartCache, found: SharedStart) -> None:
            if when == "after":
                keep(store, found)
            os.kill(os.getpid(), signal.SIGKILL)

        SharedStartCache.save = die  # type: ignore[method-assign]
        run_module.run(wanted, Bars(), in_sweep=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(warm_ups(tmp_path, "together")) == (when == "after")
    outcome = run(tmp_path, "together", *words)
    assert (outcome.shared_start is not None) == (when == "after"), "it goes on from what it had kept itself"
    assert written(outcome.folder)["metrics.jsonl"] == written(alone.folder)["metrics.jsonl"]
    assert written(outcome.folder).keys() == written(alone.folder).keys()
    assert written(outcome.folder) == written(alone.folder)
    assert written(run(tmp_path, "together", "threshold=dash").folder) == written(
        run(tmp_path, "apart", "threshold=dash", share=False).folder
    )


def test_run_from_a_shared_start_continues_after_an_interruption(tmp_path: Path) -> None:
    words = ("threshold=dash", "checkpoint.every_steps=5")
    alone = run(tmp_path, "apart", *words, share=False)
    run(tmp_path, "together", "threshold.tau=0.2")
    began: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        train = run_module.train

        def stopping(*of: Any) -> Iterator[Any]:
            for event in train(*of):
                if isinstance(event, StepEnd):
                    began.append(event.step)
                if len(began) == 7:
                    signal.raise_signal(signal.SIGTERM)
                yield event

        patch.setattr(run_module, "train", stopping)
        outcome = run_module.run(checked(tmp_path, "together", *words), Bars(), in_sweep=True)
    assert outcome.status == "interrupted"
    outcome = run(tmp_path, "together", *words)
    assert outcome.shared_start is not None
    assert outcome.shared_start["steps"] == began[0] - 1 > 0
    assert written(outcome.folder) == written(alone.folder)


def test_kill_while_a_run_adopts_a_shared_start_loses_nothing(tmp_path: Path) -> None:
    """The run already has a checkpoint of its own, and its logs are replaced by longer ones."""
    words = ("threshold=dash", "checkpoint.every_steps=5")
    alone = run(tmp_path, "apart", *words, share=False)
    wanted = checked(tmp_path, "together", *words)
    with pytest.MonkeyPatch.context() as patch:
        train = run_module.train

        def stopping(*of: Any) -> Iterator[Any]:
            for event in train(*of):
                if isinstance(event, StepEnd) and event.step == 5:
                    signal.raise_signal(signal.SIGTERM)
                yield event

        patch.setattr(run_module, "train", stopping)
        assert run_module.run(wanted, Bars(), in_sweep=True).status == "interrupted"
    assert (result.run_folder(wanted) / "metrics.jsonl").exists()
    run(tmp_path, "together", "threshold.tau=0.2")
    if (child := os.fork()) == 0:

        def die(event: str, of: tuple[Any, ...]) -> None:
            if event == "open" and str(of[0]).endswith("metrics.jsonl") and of[2] & os.O_APPEND:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die)
        run_module.run(wanted, Bars(), in_sweep=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    outcome = run(tmp_path, "together", *words)
    assert outcome.shared_start is not None
    assert written(outcome.folder) == written(alone.folder)


def test_wandb_has_the_whole_history_of_a_run_from_a_shared_start(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    run(tmp_path, "together", "threshold.tau=0.2")
    outcome = run(tmp_path, "together", "threshold.tau=0.6", "tracking=wandb", "tracking.thumbnails=0")
    assert outcome.shared_start is not None
    assert shown(tmp_path)["rows"] == rows(outcome.folder)
    assert rows(outcome.folder)[0]["epoch"] < outcome.shared_start["epochs"]
