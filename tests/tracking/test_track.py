"""`semisup track`: the run in W&B as its own record has it, by the real client; and a resumed run is one run there."""

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semisup.__main__ import main
from semisup.config import schema
from semisup.config.schema import RunConfig
from semisup.dataset import Data
from semisup.record.lock import RunLock
from semisup.runner import run
from semisup.runner.progress import Bars
from tests.conftest import compose, toy_problem
from tests.tracking.test_wandb import alone, metric_rows, read_back  # noqa: F401  # alone: each test its own W&B

pytest.importorskip("wandb")

SMALL = (
    *("model.widths=[4,8]", "train.batch_size=6", "train.steps=6", "method.gate=0", "method.refresh_every=1"),
    *("threshold.tau=0.2", "device=cpu", "plots=false", "collapse.warn_below=null", "checkpoint.every_steps=2"),
)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Data of no data set, in a folder of this test's own."""
    problem = toy_problem(labeled=12, unlabeled=18)
    images = (problem.labeled, problem.unlabeled, problem.validation, problem.test)
    data = Data(*images, problem.hidden_targets, ("one", "two", "three"), "made up", {})
    monkeypatch.setattr(run, "load_data", lambda *_: (problem, data))
    monkeypatch.chdir(tmp_path)


def settings(*overrides: str) -> RunConfig:
    return schema.validate(compose(*SMALL, *overrides))


def made(checked: RunConfig, stop_after: int | None = None) -> Path:
    """Make the run, or ask it to stop after so many steps by a real signal."""
    with pytest.MonkeyPatch.context() as patch:
        train = run.train

        def stopping(*words: Any) -> Iterator[Any]:
            for event in train(*words):
                if event.step == stop_after and type(event).__name__ == "StepEnd":
                    signal.raise_signal(signal.SIGTERM)
                yield event

        patch.setattr(run, "train", stopping)
        outcome = run.run(checked, Bars(), in_sweep=False)
    assert outcome.status == ("done" if stop_after is None else "interrupted"), outcome.message
    return outcome.folder


def track(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["semisup", "track", *map(str, words)])
        status = main()
    said = capsys.readouterr()
    return status, said.out + said.err


def shown(root: Path) -> dict[str, Any]:
    """The only run in W&B's folder: rows, config, summary, ...; two would be an error."""
    (path,) = (root / "wandb").glob("*run-*/*.wandb")
    records = read_back(path)
    summary: dict[str, Any] = {}
    for record in records["summary"]:
        summary.update(record.get("update", {}))
    config = {key: value for key, value in records["run"][0]["config"]["update"].items() if key != "_wandb"}
    return {
        "plots": {name for record in records["history"] for name in record["item"] if name.startswith("plots/")},
        "rows": metric_rows([record["item"] for record in records["history"]]),
        "config": config,
        "summary": {key: value for key, value in summary.items() if not key.startswith("_")},
        "exit": records["exit"][0].get("exit_code", 0) if "exit" in records else None,
        **{key: records["run"][0].get(key) for key in ("run_id", "project", "run_group", "job_type")},
    }


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if value is not None} for line in lines]


def test_run_uploaded_from_its_directory_equals_the_live_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(settings("tracking.thumbnails=0"))
    before = shown(tmp_path / "outputs")
    assert before["rows"] == rows(folder)
    shutil.rmtree(tmp_path / "outputs" / "wandb")
    status, said = track(capsys, folder)
    assert status == 0, said
    assert shown(tmp_path / "outputs") == before
    assert before["exit"] == 0


def test_environment_variables_of_wandb_apply_to_an_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(settings("tracking=none"))
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_RUN_GROUP", "lab")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "files"))
    status, said = track(capsys, folder)
    assert status == 0, said
    uploaded = shown(tmp_path / "files")
    assert (uploaded["project"], uploaded["run_group"]) == ("theirs", "lab")


def test_resumed_run_has_no_duplicate_or_missing_steps(tmp_path: Path) -> None:
    folder = made(settings(), stop_after=3)
    assert shown(tmp_path / "outputs")["exit"] == 1
    assert made(settings()) == folder
    again = shown(tmp_path / "outputs")
    assert again["rows"] == rows(folder)
    assert again["exit"] == 0
    steps = [row["step"] for row in again["rows"] if "val/accuracy" in row]
    assert steps == sorted(set(steps)), "none twice"


def test_killed_run_without_tracking_is_uploaded_as_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(settings("tracking=none"), stop_after=5)
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(about | {"status": "running"}))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "ep')
    (folder / "plots" / "curves.png").write_bytes((Path(__file__).parents[2] / "docs" / "demo.png").read_bytes())
    status, said = track(capsys, tmp_path / "outputs", "tracking.project=mine")
    assert status == 0, said
    assert said.startswith("killed")
    found = shown(tmp_path / "outputs")
    assert found["rows"] == rows_of_whole_lines(folder)
    assert len(found["rows"]) >= 2
    assert (found["exit"], found["summary"]["status"], found["project"]) == (1, "killed", "mine")
    assert "plots/curves.path" in found["plots"]
    assert found["run_id"] == f"runs-{folder.name}"


@pytest.mark.parametrize("odd", ["text", {"a": 1}, 10**400])
def test_invalid_metrics_row_gives_one_line_without_traceback(capsys: pytest.CaptureFixture[str], odd: object) -> None:
    folder = made(settings("tracking=none"))
    first, *others = (folder / "metrics.jsonl").read_text().splitlines()
    spoilt = json.dumps(json.loads(first) | {"train/loss": odd})
    (folder / "metrics.jsonl").write_text("\n".join([spoilt, *others]) + "\n")
    status, said = track(capsys, folder)
    assert status == 1
    assert "W&B is off for this run: a row of metrics failed" in said
    assert len(said.splitlines()) == 1, said


def test_invalid_setting_gives_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, said = track(capsys, tmp_path, "tracking.project=2024-13-45")
    assert (status, len(said.splitlines())) == (2, 1), said


def rows_of_whole_lines(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()[:-1]
    return [{key: value for key, value in json.loads(line).items() if value is not None} for line in lines]


def test_copied_run_directory_is_uploaded_with_the_callers_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(settings("tracking=none"))
    shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
    path = tmp_path / "elsewhere" / "copy" / "config.yaml"
    path.write_text(path.read_text() + "\n".join(("  project: theirs", "  entity: them", "  mode: online")))
    status, said = track(capsys, "elsewhere/copy", "output_root=here")
    assert status == 0, said
    found = shown(tmp_path / "here")
    assert (found["project"], found["run_id"]) == ("semisup", f"runs-{folder.name}")


@pytest.mark.parametrize(
    ("harm", "words", "status", "said"),
    [
        ("", ["optimizer.lr=3"], 2, "optimizer.lr=3: may not be set here, only output_root and tracking.*"),
        ("", ["tracking.projekt=mine"], 2, "tracking.projekt=mine: no such key (did you mean tracking.project?)"),
        ("", ["nowhere"], 2, "nowhere: there is no such folder"),
        ("rows", [], 1, "metrics.jsonl: must have one JSON object per line"),
        ("id", [], 1, "is not a valid name"),
        ("config", [], 1, "config.yaml or run.json is not valid"),
        ("owner", [], 1, "in use by process "),
    ],
)
def test_run_that_cannot_be_uploaded_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: str, words: list[str], status: int, said: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "run-0.1.0", folder)
    if harm == "rows":
        (folder / "metrics.jsonl").write_text('{"step": 1}\nhalf\n{"step": 3}\n')
    elif harm == "id":
        (folder / "run.json").write_text('{"id": "../../up", "status": "done"}')
    elif harm == "config":
        (folder / "config.yaml").write_text("name: runs\nmethod: {name: supervised}")
    elif harm == "owner":
        RunLock(folder).acquire()
    found = track(capsys, folder, *words)
    assert found[0] == status, found[1]
    assert said in found[1]
    assert not list(tmp_path.rglob("*.wandb"))


def test_unavailable_wandb_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    status, said = track(capsys, Path(__file__).parents[1] / "fixtures" / "run-0.1.0")
    assert status == 2
    assert "tracking=wandb: needs the package wandb" in said
