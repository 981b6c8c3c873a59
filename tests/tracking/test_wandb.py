"""Tracking in W&B with the real client: files read back, a fake server, and all known failures."""

import base64
import contextlib
import copy
import gc
import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from semisup.errors import SettingError
from semisup.tracking import NullTracker, RunInfo, Tracker
from semisup.tracking import wandb as wandb_module
from semisup.tracking.none import NoTracking
from semisup.tracking.wandb import GRACE_SECONDS, Wandb
from tests.tracking.fake_server import FakeServer
from tests.tracking.wandb_file import inspect

pytest.importorskip("wandb")

KEY = "0123456789abcdef" * 2 + "plantedk"
OFFLINE = Wandb(
    project="digits",
    entity=None,
    mode=None,
    tags=["mine"],
    init_timeout_seconds=20.0,
    finish_timeout_seconds=20.0,
    thumbnails=4,
)
ONLINE = replace(OFFLINE, mode="online")
IMAGES = np.arange(2 * 3 * 8 * 8, dtype=np.uint8).reshape(2, 3, 8, 8) % 2  # faint: wandb would stretch them
ROWS: list[dict[str, float | int | None]] = [
    {"step": 10 * k, "epoch": k, "val/accuracy": 0.25 * k, "val/loss": None if k == 2 else 1.0 / k} for k in (1, 2, 3)
]
SUMMARY: dict[str, object] = {"best/val/accuracy": 0.5, "best/epoch": 2, "test/accuracy": None}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home, a key and a W&B session of this test's own."""
    for name in os.environ:
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # whatever escapes a test goes nowhere
    wandb_module._unreachable_modes.clear()
    yield
    left = services()
    if "wandb" in sys.modules and sys.modules["wandb"] is not None:
        with contextlib.suppress(Exception):
            sys.modules["wandb"].teardown()
    for process in left:  # else it is a ResourceWarning when the broken ones are collected
        process.kill()
        process.wait()
    os.environ.pop("WANDB_SERVICE", None)
    os.environ.pop("WANDB_ERROR_REPORTING", None)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    fake = FakeServer()
    monkeypatch.setenv("WANDB_BASE_URL", fake.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    yield fake
    fake.close()


def identity(tmp_path: Path, run_id: str = "tau-0.95-ab12") -> RunInfo:
    config = {"seed": 1, "threshold": {"name": "fixed", "tau": 0.95}, "list": [1, 2]}
    return RunInfo(run_id, f"name of {run_id}", "sweep", "train", ("theirs", "mine"), tmp_path / "wandb", config)


def picture(tmp_path: Path) -> Path:
    path = tmp_path / "confusion.png"
    Image.new("RGB", (20, 10), "red").save(path)
    return path


def use(mirror: Tracker, tmp_path: Path, exit_code: int = 0) -> None:
    """Do everything that a run does with a tracker."""
    for row in ROWS:
        mirror.row(row)
    mirror.plots({"confusion": picture(tmp_path)})
    mirror.thumbnails("pseudo_labels", ["path", "confidence"], [["a.png", 0.9], ["b.png", 0.1]], IMAGES)
    mirror.close(SUMMARY, exit_code)


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


def pixels(path: Path) -> NDArray[np.uint8]:
    """(C, S, S) uint8."""
    with Image.open(path) as image:
        array = np.asarray(image)
    return np.moveaxis(array.reshape(*array.shape[:2], -1), 2, 0)


def written(tmp_path: Path, run_id: str = "tau-0.95-ab12") -> Path:
    """The one file of a run."""
    (path,) = (tmp_path / "wandb").glob(f"*run-*-{run_id}/run-{run_id}.wandb")
    return path


def read_back(path: Path) -> dict[str, list[Any]]:
    """Kind of record -> records, by W&B's own reader."""
    records: dict[str, list[Any]] = {}
    for record in map(json.loads, inspect(path).splitlines()):
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def metric_rows(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Our rows without what W&B adds; those of plots and tables have no step of ours."""
    rows = [{key: value for key, value in row.items() if not key.startswith("_")} for row in history]
    return [row for row in rows if "step" in row]


def expected_rows() -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if value is not None} for row in ROWS]


@contextlib.contextmanager
def off_once(seconds: float, *reasons: str) -> Iterator[None]:
    """W&B goes off in here: one warning that gives a reason, no error, and not more than so long."""
    began = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    took = time.monotonic() - began
    texts = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    assert len(texts) == 1, texts
    assert texts[0].startswith("W&B is off for this run: ")
    assert any(reason in texts[0] for reason in reasons), texts
    assert took < seconds + GRACE_SECONDS + 1, took


def services() -> list[subprocess.Popen[bytes]]:
    """The wandb-core processes that this one has started and not yet seen end."""
    started = [thing for thing in gc.get_objects() if type(thing) is subprocess.Popen and thing.returncode is None]
    return [process for process in started if "wandb-core" in str(process.args)]


def test_wandb_is_imported_only_when_opened() -> None:
    program = (
        "import sys, semisup.tracking, semisup.tracking.none, semisup.tracking.wandb;"
        "assert not {'wandb', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_offline_files_hold_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    mirror = OFFLINE.open(identity(tmp_path))
    assert mirror.wanted_thumbnails == 4
    use(mirror, tmp_path)
    assert mirror.wanted_thumbnails == 0
    records = read_back(written(tmp_path))

    run = records["run"][0]
    assert (run["run_id"], run["display_name"]) == ("tau-0.95-ab12", "name of tau-0.95-ab12")
    assert (run["project"], run["run_group"], run["job_type"]) == ("digits", "sweep", "train")
    assert sorted(run["tags"]) == ["mine", "theirs"]
    config = {key: value for key, value in run["config"]["update"].items() if key != "_wandb"}
    assert config == identity(tmp_path).config

    assert metric_rows([record["item"] for record in records["history"]]) == expected_rows()
    assert {"epoch"} == {record["step_metric"] for record in records["metric"] if record.get("glob_name") == "*"}
    summary: dict[str, Any] = {}
    for record in records["summary"]:
        summary.update(record["update"])
    assert (summary["best/val/accuracy"], summary["best/epoch"]) == (0.5, 2)
    assert "test/accuracy" not in summary
    assert records["exit"][0].get("exit_code", 0) == 0

    media = written(tmp_path).parent / "files"
    shown = {name: value for record in records["history"] for name, value in record["item"].items()}
    assert (media / shown["plots/confusion.path"]).read_bytes() == picture(tmp_path).read_bytes()
    table = json.loads((media / shown["pseudo_labels.path"]).read_text())
    assert table["columns"] == ["image", "path", "confidence"]
    assert [row[1:] for row in table["data"]] == [["a.png", 0.9], ["b.png", 0.1]]


def test_offline_mode_writes_only_to_its_folder_and_stores_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    before = dict(os.environ)
    use(OFFLINE.open(identity(tmp_path)), tmp_path)
    assert dict(os.environ) == {**before, "WANDB_ERROR_REPORTING": "false"}
    assert not list((tmp_path / "home").rglob("*"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    shown = [pixels(path) for path in files if path.parent.name == "staging" and is_png(path)]
    assert all(any(np.array_equal(image, other) for other in shown) for image in IMAGES)
    secrets = (KEY.encode(), base64.b64encode(f"api:{KEY}".encode()))
    assert not [path for path in files for secret in secrets if secret in path.read_bytes()]


def test_wandb_settings_of_the_user_are_preserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    use(OFFLINE.open(identity(tmp_path)), tmp_path)
    assert os.environ["WANDB_ERROR_REPORTING"] == "true"
    assert list((tmp_path / "data" / "artifacts" / "staging").iterdir())


def test_gray_images_are_logged(tmp_path: Path) -> None:
    mirror = OFFLINE.open(identity(tmp_path))
    mirror.thumbnails("gray", [], [[], []], IMAGES[:, :1])
    mirror.close({}, 0)
    staged = [path for path in (tmp_path / "wandb/artifacts/staging").iterdir() if is_png(path)]
    assert {pixels(path).shape for path in staged} == {(1, 8, 8)}


def test_table_of_plain_values_is_logged(tmp_path: Path) -> None:
    mirror = OFFLINE.open(identity(tmp_path))
    rows: list[list[object]] = [[0.9, "fixed", None], [None, 3, True]]  # of several kinds in one column
    mirror.table("runs", ["threshold.tau", "name", "x"], rows)
    mirror.close({}, 0)
    shown = {
        name: value for record in read_back(written(tmp_path))["history"] for name, value in record["item"].items()
    }
    table = json.loads((written(tmp_path).parent / "files" / shown["runs.path"]).read_text())
    assert (table["columns"], table["data"]) == (["threshold.tau", "name", "x"], rows)
    assert not list((tmp_path / "home").rglob("*"))


def test_runs_of_one_process_are_separate(tmp_path: Path) -> None:
    for number in range(3):
        mirror = OFFLINE.open(identity(tmp_path, f"run-{number}"))
        mirror.row({"step": number, "epoch": number, "val/accuracy": number / 4})
        if number != 1:  # as if it had been forgotten: the next one ends it
            mirror.close({"best/epoch": number}, exit_code=number)
            mirror.row({"step": 99, "epoch": 99})  # too late, and no error
    for number in range(3):
        records = read_back(written(tmp_path, f"run-{number}"))
        rows = metric_rows([record["item"] for record in records["history"]])
        assert rows == [{"step": number, "epoch": number, "val/accuracy": number / 4}]
        assert [record["run_id"] for record in records["run"]] == [f"run-{number}"]
        assert records["exit"][0].get("exit_code", 0) == (number if number != 1 else 0)


def test_online_run_is_complete(tmp_path: Path, server: FakeServer) -> None:
    use(ONLINE.open(identity(tmp_path)), tmp_path, exit_code=3)
    check_arrived(server, tmp_path, exit_code=3)


def test_offline_files_can_be_uploaded_later(tmp_path: Path, server: FakeServer) -> None:
    use(OFFLINE.open(identity(tmp_path)), tmp_path)
    assert not server.runs
    command = [sys.executable, "-m", "wandb", "sync", str(written(tmp_path).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check_arrived(server, tmp_path, exit_code=0)


def check_arrived(server: FakeServer, tmp_path: Path, exit_code: int) -> None:
    (run_id,) = server.runs
    run = server.runs[run_id]
    assert (run_id, run["project"], run["groupName"], run["jobType"]) == ("tau-0.95-ab12", "digits", "sweep", "train")
    assert sorted(run["tags"]) == ["mine", "theirs"]
    config = {key: entry["value"] for key, entry in json.loads(run["config"]).items() if key != "_wandb"}
    assert config == identity(tmp_path).config
    assert metric_rows(server.history(run_id)) == expected_rows()
    summary = server.lines[run_id]["wandb-summary.json"][0]
    assert (summary["best/val/accuracy"], summary["best/epoch"]) == (0.5, 2)
    assert server.ended == {run_id: exit_code}
    assert server.uploads[summary["plots/confusion"]["path"]] == picture(tmp_path).read_bytes()
    table = json.loads(server.uploads["pseudo_labels.table.json"])
    for row, image in zip(table["data"], IMAGES, strict=True):
        (tmp_path / "arrived.png").write_bytes(server.uploads[row[0]["path"]])
        assert np.array_equal(pixels(tmp_path / "arrived.png"), image)


@pytest.mark.parametrize(
    ("mode", "environment", "online"),
    [(None, None, False), (None, "online", True), (None, "offline", False), ("offline", "online", False)],
)
def test_default_mode_is_offline(
    tmp_path: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    mode: str | None,
    environment: str | None,
    online: bool,
) -> None:
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    with pytest.warns(match=f"not WANDB_MODE={environment}") if mode else contextlib.nullcontext():
        mirror = replace(OFFLINE, mode=mode).open(identity(tmp_path))
    mirror.close({}, 0)
    assert bool(server.runs) == online


def test_environment_variables_replace_settings_with_default_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PROJECT": "theirs", "ENTITY": "team", "DIR": str(tmp_path / "files"), "RUN_GROUP": "lab", "NAME": "first try",
        "TAGS": "small, photos", "NOTES": "with more labels", "MODE": "offline",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"WANDB_{name}", value)
    settings = replace(OFFLINE, project="semisup", tags=[])
    settings.open(replace(identity(tmp_path), defaults={"project": "semisup"})).close({}, 0)
    assert not (tmp_path / "wandb").exists()
    run = read_back(written(tmp_path / "files"))["run"][0]
    assert (run["project"], run["entity"], run["run_group"], run["display_name"], run["notes"]) == (
        *("theirs", "team", "lab", "first try", "with more labels"),
    )
    assert sorted(run["tags"]) == ["mine", "photos", "small", "theirs"]
    assert run["run_id"] == "tau-0.95-ab12"


def test_settings_have_precedence_over_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_TAGS", "small")
    monkeypatch.setenv("WANDB_ENTITY", "team")
    with pytest.warns(UserWarning, match="W&B uses") as caught:
        OFFLINE.open(replace(identity(tmp_path), defaults={"project": "semisup"})).close({}, 0)
    assert [str(each.message) for each in caught] == [
        "W&B uses tracking.project=digits, not WANDB_PROJECT=theirs; tracking.tags=mine, not WANDB_TAGS=small"
    ]
    run = read_back(written(tmp_path))["run"][0]
    assert (run["project"], run["entity"]) == ("digits", "team")
    assert sorted(run["tags"]) == ["mine", "theirs"]


def test_invalid_value_of_an_environment_variable_disables_tracking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "a/b")
    with pytest.warns(match=r"W&B is off: WANDB_PROJECT=a/b: must be a name without"):
        mirror = OFFLINE.open(replace(identity(tmp_path), defaults={"project": "digits"}))
    assert isinstance(mirror, NullTracker)


def test_disabled_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setitem(sys.modules, "wandb", None)  # is not even looked for
    assert isinstance(OFFLINE.open(identity(tmp_path)), NullTracker)
    assert not (tmp_path / "wandb").exists()


def test_missing_wandb_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with off_once(1, "ModuleNotFoundError"):
        use(OFFLINE.open(identity(tmp_path)), tmp_path)


def test_mode_of_the_settings_applies_to_the_check_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    replace(OFFLINE, mode=None).require_installed()
    with pytest.raises(SettingError, match="not installed"):
        replace(OFFLINE, mode="offline").require_installed()


def test_no_key(tmp_path: Path) -> None:
    with off_once(5, "No API key"):
        use(ONLINE.open(identity(tmp_path)), tmp_path)
    works_again(tmp_path)


def test_no_key_at_a_terminal(tmp_path: Path) -> None:
    """W&B would ask there, and training would wait for the answer."""
    program = f"""if True:
        from pathlib import Path
        from semisup.tracking import RunInfo
        from semisup.tracking.wandb import Wandb
        settings = Wandb("p", None, "online", [], 20.0, 1.0, 0)
        settings.open(RunInfo("r", "r", "g", "train", (), Path({str(tmp_path / "wandb")!r}), {{}}))
    """
    terminal, users_end = pty.openpty()
    try:
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, stdin=users_end, stdout=users_end, stderr=users_end, timeout=60)
        shown = os.read(terminal, 10000).decode()
    finally:
        os.close(terminal)
        os.close(users_end)
    assert done.returncode == 0
    assert shown.count("W&B is off") == 1
    assert "No API key" in shown
    assert "account" not in shown  # the question


def test_unreachable_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with off_once(2, "opening took more than 2 s"):
        use(replace(ONLINE, init_timeout_seconds=2.0).open(identity(tmp_path)), tmp_path)
    works_again(tmp_path)


def test_unreachable_server_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    online = replace(ONLINE, init_timeout_seconds=1.5)
    with off_once(1.5, "opening took more than 1.5 s"):
        for _ in range(20):
            use(online.open(identity(tmp_path)), tmp_path)


def test_server_that_never_answers(tmp_path: Path, server: FakeServer) -> None:
    server.stall()
    with off_once(2, "opening took more than 2 s"):
        use(replace(ONLINE, init_timeout_seconds=2.0).open(identity(tmp_path)), tmp_path)
    works_again(tmp_path)


def test_server_that_stops_answering(tmp_path: Path, server: FakeServer) -> None:
    mirror = replace(ONLINE, finish_timeout_seconds=3.0).open(identity(tmp_path))
    mirror.row(ROWS[0])
    server.stall()
    with off_once(3, "finishing failed, TimeoutError", "finishing took"):
        mirror.row(ROWS[1])
        mirror.close(SUMMARY, 0)
    records = read_back(written(tmp_path))  # what did not arrive is kept for `wandb sync`
    assert metric_rows([record["item"] for record in records["history"]]) == expected_rows()[:2]
    works_again(tmp_path)


@pytest.mark.parametrize("status", [500, 401])
def test_server_that_returns_only_errors(tmp_path: Path, server: FakeServer, status: int) -> None:
    server.status = status
    with off_once(2, "opening"):
        use(replace(ONLINE, init_timeout_seconds=2.0).open(identity(tmp_path)), tmp_path)
    works_again(tmp_path)


def test_wandb_that_fails_to_import_is_reported(tmp_path: Path) -> None:
    (tmp_path / "broken" / "wandb").mkdir(parents=True)
    (tmp_path / "broken" / "wandb" / "__init__.py").write_text("raise RuntimeError('half of it is missing')")
    program = f"""if True:
        from pathlib import Path
        from semisup.tracking import RunInfo
        from semisup.tracking.wandb import Wandb
        settings = Wandb("p", None, "offline", [], 20.0, 1.0, 0)
        mirror = settings.open(RunInfo("r", "r", "g", "train", (), Path({str(tmp_path / "wandb")!r}), {{}}))
        mirror.row(dict(step=1, epoch=1))
        mirror.close({{}}, 0)
    """
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "broken")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr.count("W&B is off for this run: opening failed, RuntimeError: half of it is missing") == 1


def test_values_that_are_not_finite_are_omitted(tmp_path: Path) -> None:
    mirror = OFFLINE.open(identity(tmp_path))
    mirror.row({"step": 1, "epoch": 1, "val/loss": float("nan"), "lr": float("inf"), "val/accuracy": 0.5})
    mirror.close({}, 0)
    rows = metric_rows([record["item"] for record in read_back(written(tmp_path))["history"]])
    assert rows == [{"step": 1, "epoch": 1, "val/accuracy": 0.5}]


def test_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "wandb").write_text("in the way")
    with off_once(2, "FileExistsError"):
        use(OFFLINE.open(identity(tmp_path)), tmp_path)


def test_config_that_is_not_plain_data(tmp_path: Path) -> None:
    broken = replace(identity(tmp_path), config={"model": object()})
    with off_once(2, "opening failed"):
        use(OFFLINE.open(broken), tmp_path)
    works_again(tmp_path)


def test_log_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    def broken(*_: object, **__: object) -> None:
        raise SystemExit("out of\norder")

    mirror = OFFLINE.open(identity(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(wandb.Run, "log", broken)
        with off_once(1, r"a row of metrics failed, SystemExit: out of\norder"):
            use(mirror, tmp_path)
    works_again(tmp_path)


def test_service_killed(tmp_path: Path) -> None:
    mirror = OFFLINE.open(identity(tmp_path))
    mirror.row(ROWS[0])
    (process,) = services()
    process.kill()
    with off_once(3, "failed, "):
        use(mirror, tmp_path)
    works_again(tmp_path)


def test_service_hangs(tmp_path: Path) -> None:
    mirror = replace(OFFLINE, finish_timeout_seconds=1.0).open(identity(tmp_path))
    (process,) = services()
    process.send_signal(signal.SIGSTOP)
    with off_once(1, "finishing took more than 1 s"):
        use(mirror, tmp_path)
    works_again(tmp_path)
    process.kill()


def works_again(tmp_path: Path) -> None:
    """A later run of this process is as if nothing had been."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        mirror = OFFLINE.open(identity(tmp_path, "later"))
        mirror.row(ROWS[0])
        mirror.close({}, 0)
    assert b"val/accuracy" in written(tmp_path, "later").read_bytes()


def test_process_exits_within_its_time_limit(tmp_path: Path, server: FakeServer) -> None:
    program = f"""if True:
        import sys, time, urllib.request
        from pathlib import Path
        from semisup.tracking import RunInfo
        from semisup.tracking.wandb import Wandb
        settings = Wandb("p", None, "online", [], 20.0, 1.0, 0)
        mirror = settings.open(RunInfo("r", "r", "g", "train", (), Path({str(tmp_path / "wandb")!r}), {{}}))
        mirror.row(dict(step=1, epoch=1))
        print("open", flush=True)
        sys.stdin.read()
        mirror.close({{}}, 0)
        print("closed", flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, stderr=-1, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    server.stall()
    began = time.monotonic()
    out, errors = child.communicate(timeout=30)
    assert (out, child.returncode, errors.count("W&B is off")) == ("closed\n", 0, 1), errors
    assert time.monotonic() - began < 1 + 2 * GRACE_SECONDS + 2


def generators() -> list[object]:
    return [random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()]


def test_tracking_changes_no_result(tmp_path: Path) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    states = generators()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    rows, images = copy.deepcopy(ROWS), IMAGES.copy()
    use(OFFLINE.open(identity(tmp_path)), tmp_path)
    assert states == generators()
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert (rows, OFFLINE.tags) == (ROWS, ["mine"])
    assert np.array_equal(images, IMAGES)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("project", ""),
        ("project", "a/b"),
        ("mode", "disabled"),
        ("tags", [""]),
        ("tags", ["x" * 65]),
        ("init_timeout_seconds", 0.0),
        ("finish_timeout_seconds", float("inf")),
        ("thumbnails", -1),
    ],
)
def test_settings_out_of_range(key: str, value: object) -> None:
    with pytest.raises(SettingError) as caught:
        replace(OFFLINE, **{key: value})  # type: ignore[arg-type]
    assert caught.value.key == key


def test_defaults_build() -> None:
    conf = Path(__file__).parents[2] / "conf" / "tracking"
    for name, settings in {"wandb": Wandb, "none": NoTracking}.items():
        values = yaml.safe_load((conf / f"{name}.yaml").read_text())
        assert values.pop("name") == name
        assert set(values) == {field.name for field in fields(settings)}
        settings(**values)


@pytest.mark.parametrize("make", [NoTracking().open, lambda _: NullTracker()])
def test_null_tracker_writes_no_files(tmp_path: Path, make: Callable[[RunInfo], Tracker]) -> None:
    mirror = make(identity(tmp_path))
    use(mirror, tmp_path)
    assert mirror.wanted_thumbnails == 0
    assert {path.name for path in tmp_path.iterdir()} == {"home", "confusion.png"}
