"""The record of a run: status, logs, checkpoints, environment."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import semisup.record.locked_directory
import semisup.record.writer
from semisup.core.csv_cells import csv_text
from semisup.core.events import EvalEnd, Finished
from semisup.core.threshold_curve import THRESHOLDS
from semisup.core.types import Predictions, ThresholdCurve
from semisup.errors import DataError, DivergedError, FinishedError, RecordError
from semisup.record import checkpoint, is_finished, write_json
from semisup.record import environment as environment_module
from semisup.record.append_log import AppendLog
from semisup.record.curves import CURVES, POOL, VALIDATION, EvalThresholdCurve, curve_rows, read_curves, written_curves
from semisup.record.reader import MAX_JSON_BYTES, read_config, read_json
from semisup.record.writer import RunWriter


def record(folder: Path) -> RunWriter:
    return RunWriter(folder, {"seed": 0}, {"id": "x"})


def snapshot(step: int, best: int | None = None) -> dict[str, Any]:
    weights = {"w": torch.full((3,), float(best or 0))}
    kept = {"step": best, "epoch": 1, "accuracy": 0.5, "loss": 1.0, "weights": weights} if best else None
    return {"step": step, "student": {"w": torch.arange(3.0) * step}, "best": kept}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("boom"), "failed"),
        (DivergedError(7), "diverged"),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(0), "interrupted"),
    ],
)
def test_run_ends_with_the_status_of_its_exception(tmp_path: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), record(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
        raise error
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["status"] == status
    assert about["error"]["kind"] == type(error).__name__
    assert not (tmp_path / "run" / "owner.json").exists()
    assert not is_finished(tmp_path / "run")


def test_nonfinite_metrics_become_null(tmp_path: Path) -> None:
    with record(tmp_path / "run") as run:
        run.write_event(EvalEnd(3, 1, {"val/loss": math.nan, "val/accuracy": 0.5, "lr": math.inf}, True))
        assert run.read_metrics() == [{"step": 3, "epoch": 1, "val/loss": None, "val/accuracy": 0.5, "lr": None}]
    write_json(tmp_path / "x.json", {"a": [math.nan, (1, math.inf)], "b": {"c": -math.inf}})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, [1, None]], "b": {"c": None}}


def test_resuming_truncates_the_logs_to_the_saved_state(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with record(folder) as run:
        run.write_event(EvalEnd(1, 1, {"val/accuracy": 0.1}, True))
        run.save(snapshot(1, best=1))
        run.write_event(EvalEnd(2, 2, {"val/accuracy": 0.2}, True))
        with (folder / "metrics.jsonl").open("a") as file:
            file.write('{"torn":')
    with record(folder) as run:
        state = run.resume()
        assert state is not None
        assert state["step"] == 1
        assert torch.equal(state["best"]["weights"]["w"], torch.ones(3))
        assert [row["step"] for row in run.read_metrics()] == [1]


def test_resuming_without_a_checkpoint_starts_empty(tmp_path: Path) -> None:
    with record(tmp_path / "run") as run:
        run.write_event(EvalEnd(1, 1, {"val/accuracy": 0.1}, True))
    with record(tmp_path / "run") as run:
        assert run.resume() is None
        assert run.read_metrics() == []


def test_newest_intact_checkpoint_is_loaded(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save_state(tmp_path, snapshot(step, best=1), {"metrics.jsonl": step})
    last = checkpoint.newest(tmp_path, "last")
    assert [int(path.name.split("-")[1]) for path in last] == [3, 2], "two are kept"
    data = bytearray(last[0].read_bytes())
    for damage in (lambda d: d[:-7], lambda d: d[:1], lambda d: b"", lambda d: d[:100] + bytes([d[100] ^ 1]) + d[101:]):
        last[0].write_bytes(damage(bytes(data)))
        with pytest.warns(UserWarning, match="damaged"):
            state, lines = checkpoint.load_state(tmp_path) or ({}, {})
        assert state["step"] == 2
        assert lines == {"metrics.jsonl": 2}
    last[1].write_bytes(b"nothing")
    with pytest.raises(RecordError, match="no usable checkpoint"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.load_state(tmp_path)


def test_unreferenced_best_models_are_deleted(tmp_path: Path) -> None:
    for step, best in ((1, 1), (2, 2), (3, 2), (4, 4)):
        checkpoint.save_state(tmp_path, snapshot(step, best=best), {})
    bests = sorted(int(path.name.split("-")[1]) for path in tmp_path.glob("best-*.pt"))
    assert bests == [2, 4], "the last state's, and that of the one before"
    newest = checkpoint.newest(tmp_path, "last")[0]
    newest.unlink()
    state, _ = checkpoint.load_state(tmp_path) or ({}, {})
    assert state["best"]["step"] == 2


class Payload:
    """The content of a malicious pickle."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def test_checkpoint_with_code_is_refused_and_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    import hashlib

    torch.save({"weights": Payload(tmp_path / "canary")}, tmp_path / "evil.pt")
    data = (tmp_path / "evil.pt").read_bytes()
    path = tmp_path / f"best-00000001-{hashlib.sha256(data).hexdigest()[:16]}.pt"
    path.write_bytes(data)
    with pytest.raises(RecordError, match="so it is not loaded"):
        checkpoint.load(path)
    assert not (tmp_path / "canary").exists()


def test_config_with_yaml_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in ("!!python/object/apply:os.mkdir [canary]", "a: &x [1]\nb: *x", "- 1", "a: [", ""):
        path.write_text(text)
        with pytest.raises(RecordError, match=r"config\.yaml"):
            read_config(path)
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join(['*a' + str(n - 1)] * 9)}]\n" for n in range(1, 9)
    )
    path.write_text(bomb)
    with pytest.raises(RecordError, match="a YAML anchor"):
        read_config(path)
    assert not (tmp_path / "canary").exists()
    with pytest.raises(RecordError):
        read_config(tmp_path / "none.yaml")


def test_append_log_is_truncated_to_whole_lines(tmp_path: Path) -> None:
    log = AppendLog(tmp_path / "log")
    assert log.sync() == 0
    log.append("one\n")
    lines = log.sync()
    log.append("two \udcff\nthree\n")
    assert (lines, log.sync()) == (1, 3)
    log.close()
    again = AppendLog(tmp_path / "log")
    again.truncate(lines)
    assert (tmp_path / "log").read_text() == "one\n"
    again.append("two\n")
    assert again.sync() == 2
    again.truncate(0)
    assert not (tmp_path / "log").exists()
    assert again.sync() == 0


def test_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    """A real limit on file sizes, in a separate process."""
    code = """
import resource, signal, sys, torch
from pathlib import Path
from semisup.record import checkpoint
folder = Path(sys.argv[1])
def state(step, size): return {"step": step, "student": {"w": torch.zeros(size)}, "best": None}
checkpoint.save_state(folder, state(1, 10), {})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    checkpoint.save_state(folder, state(2, 100000), {})
except OSError as error:
    print("stopped:", error.strerror)
print(sorted(path.name.split("-")[1] for path in folder.iterdir()), checkpoint.load_state(folder)[0]["step"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "stopped: File too large" in done.stdout
    assert "['00000001'] 1" in done.stdout
    shutil.rmtree(tmp_path)


DATA = {"fingerprint": "f", "classes": ["one", "two"]}


def test_threshold_curves_in_the_file_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "what_if.csv"
    assert written_curves(path) == set()
    curve = ThresholdCurve([0.5] * len(THRESHOLDS), [None] * len(THRESHOLDS))
    places = {(10, POOL), (10, VALIDATION), (200, POOL)}
    rows = [row for step, on in sorted(places) for row in curve_rows(EvalThresholdCurve(step, 1, on, curve))]
    path.write_text(csv_text([CURVES, *rows]))
    assert written_curves(path) == places == {(each.step, each.on) for each in read_curves(path)}


def test_run_is_not_resumed_with_other_data(tmp_path: Path) -> None:
    with record(tmp_path / "run") as run:
        run.set_dataset(DATA, {}, ["a.png"])
    with pytest.raises(DataError, match="the data set has changed"), record(tmp_path / "run") as run:
        run.set_dataset({**DATA, "fingerprint": "g"}, {}, ["a.png"])
    with record(tmp_path / "run") as run:
        run.set_dataset(DATA, {}, ["a.png"])


def test_finished_run_is_not_changed(tmp_path: Path) -> None:
    with record(tmp_path / "run") as run:
        run.finish(Finished(3, 1, {"steps": 3}), [])
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with pytest.raises(FinishedError), record(tmp_path / "run"):
        pass
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}


def test_predictions_are_written_before_the_run_counts_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Predictions(["a, b.png", "\udcff.png"], [0, 1], [1, 1], [0.75, 0.5])
    seen: list[bool] = []
    real = semisup.record.locked_directory.write_json
    with record(tmp_path / "run") as run:
        run.set_dataset(DATA, {}, ["a.png"])
        file = run.folder / "predictions.csv"
        monkeypatch.setattr(
            semisup.record.locked_directory,
            "write_json",
            lambda *each, **more: (seen.append(file.exists()), real(*each, **more)),
        )
        run.finish(Finished(3, 1, {"steps": 3}, predictions={"validation": said}), [])
    assert seen == [True, True]
    assert list(csv.reader(file.read_text().splitlines())) == [
        ["split", "path", "class", "predicted", "confidence"],
        ["validation", "a, b.png", "one", "two", "0.75"],
        ["validation", "\\udcff.png", "two", "two", "0.5"],
    ]


def test_unwritable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="cannot be written"), record(tmp_path / "file" / "run"):
        pass


def test_log_shorter_than_its_checkpoint_is_refused_and_unchanged(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with record(folder) as run:
        run.write_event(EvalEnd(1, 1, {"val/accuracy": 0.1}, True))
        run.save(snapshot(1, best=1))
    os.truncate(folder / "metrics.jsonl", 5)
    with (
        pytest.raises(RecordError, match="has 0 complete lines, but its checkpoint was saved after line 1"),
        record(folder) as run,
    ):
        run.resume()
    assert (folder / "metrics.jsonl").stat().st_size == 5


def test_finished_run_has_one_state_and_its_best_model(tmp_path: Path) -> None:
    with record(tmp_path / "run") as run:
        for step in (1, 2, 3):
            run.save(snapshot(step, best=1))
        run.finish(Finished(3, 1, {"steps": 3}), [])
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["best-00000001", "last-00000003"]


def interrupted(folder: Path, about: dict[str, Any], *, step: int = 1) -> None:
    with pytest.raises(SystemExit), RunWriter(folder, {"seed": 0}, about) as run:
        run.resume()
        run.save(snapshot(step, best=1))
        raise SystemExit("SIGTERM")


def test_checkpoint_of_another_run_or_other_data_is_refused(tmp_path: Path) -> None:
    """Copied files: the digest in the name is correct, but the content belongs to another run."""
    for name, about, data in (("one", "a", "f"), ("other", "b", "f"), ("elsewhere", "a", "g")):
        with RunWriter(tmp_path / name, {}, {"id": about}) as run:
            run.set_dataset({**DATA, "fingerprint": data}, {}, [])
            run.save(snapshot(1, best=1))
    for name in ("other", "elsewhere"):
        shutil.rmtree(tmp_path / "one" / "checkpoints")
        shutil.copytree(tmp_path / name / "checkpoints", tmp_path / "one" / "checkpoints")
        before = digests_of(tmp_path / "one" / "checkpoints")
        with (
            pytest.raises(RecordError, match="its checkpoint belongs to"),
            RunWriter(tmp_path / "one", {}, {"id": "a"}) as run,
        ):
            run.set_dataset(DATA, {}, [])
            run.resume()
        assert digests_of(tmp_path / "one" / "checkpoints") == before


def digests_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_interruptions_are_counted_by_cause(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for count in (1, 2):
        interrupted(tmp_path, {"id": "x"}, step=count)
    assert json.loads(path.read_text())["interruptions"] == {"SIGTERM": 1}, "the second is known to the third"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "running", "ended_at": None}))
    with pytest.raises(ValueError), record(tmp_path):
        assert json.loads(path.read_text())["ended_at"] is None
        raise ValueError("boom")
    with record(tmp_path) as run:
        run.resume()
        run.finish(Finished(2, 1, {"steps": 2}), [])
    about = json.loads(path.read_text())
    assert about["interruptions"] == {"SIGTERM": 1, "killed": 1, "failed": 1}
    assert (about["status"], about["resumed"], about["error"]) == ("done", 3, None)
    assert about["started_at"] <= about["ended_at"]


ENVIRONMENT = {"packages": {"torch": "2.13.0", "wandb": "1"}, "processor": "one", "threads": 1}


def test_run_is_not_resumed_with_other_package_versions(tmp_path: Path) -> None:
    interrupted(tmp_path, {"environment": ENVIRONMENT})
    newer = ENVIRONMENT | {"packages": {"torch": "3.0", "wandb": "2"}}
    for _ in range(2):
        with (
            pytest.raises(RecordError, match=r"started with other package versions \(torch 2\.13\.0 then, 3\.0 now\)"),
            RunWriter(tmp_path, {"seed": 0}, {"environment": newer}) as run,
        ):
            run.resume()
    interrupted(tmp_path, {"environment": ENVIRONMENT}, step=2)
    assert json.loads((tmp_path / "run.json").read_text())["environment"] == ENVIRONMENT


def test_resuming_on_another_cpu_warns_and_is_recorded(tmp_path: Path) -> None:
    interrupted(tmp_path, {"environment": ENVIRONMENT})
    elsewhere = ENVIRONMENT | {"processor": "two"}
    with RunWriter(tmp_path, {"seed": 0}, {"environment": elsewhere}) as run:
        with pytest.warns(UserWarning, match="processor one then, two now"):
            run.resume()
        run.finish(Finished(1, 1, {"steps": 1}), [])
    about = json.loads((tmp_path / "run.json").read_text())
    assert (about["environment"], about["continued_in"]) == (ENVIRONMENT, elsewhere)


def test_run_without_a_checkpoint_records_its_new_environment(tmp_path: Path) -> None:
    with pytest.raises(ValueError), RunWriter(tmp_path, {}, {"environment": ENVIRONMENT}):
        raise ValueError
    newer = ENVIRONMENT | {"packages": {"torch": "3.0"}}
    with RunWriter(tmp_path, {}, {"environment": newer}) as run:
        assert run.resume() is None
        run.finish(Finished(1, 1, {"steps": 1}), [])
    assert json.loads((tmp_path / "run.json").read_text())["environment"] == newer


def test_git_diff_is_saved_and_a_later_one_beside_it(tmp_path: Path) -> None:
    for text in ("one", "one", "two"):
        with pytest.raises(ValueError), RunWriter(tmp_path, {}, {}, text):
            raise ValueError
    assert (tmp_path / "git.diff").read_text() == "one"
    assert (tmp_path / "git-continued.diff").read_text() == "two"


def test_second_state_of_one_step_replaces_the_first(tmp_path: Path) -> None:
    """A step is saved before and after its evaluation; their names do not tell which is newer."""
    for epoch in range(6):
        checkpoint.save_state(tmp_path, snapshot(3) | {"epoch": epoch}, {})
        state, _ = checkpoint.load_state(tmp_path) or ({}, {})
        assert state["epoch"] == epoch
    assert len(checkpoint.newest(tmp_path, "last")) == 1


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    """Regardless of shared memory and of the origin of strings."""
    whole = torch.arange(8.0)
    key = "".join(["w", "eight"])
    one = {"a": {key: whole[2:5], "pair": (1, 2)}, "b": {"weight": whole[2:5]}, "c": [key, "weight"]}
    two = {
        "a": {"weight": whole[2:5].clone(), "pair": (1, 2)},
        "b": {"weight": whole[2:5].clone()},
        "c": ["weight", key],
    }
    assert checkpoint.save(tmp_path, "last", 1, one) == checkpoint.save(tmp_path, "last", 1, two)


def test_summary_that_is_too_large_is_reported(tmp_path: Path) -> None:
    with open(tmp_path / "summary.json", "wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.warns(UserWarning, match=r"summary\.json has more than 32 MB and is not read"):
        assert read_json(tmp_path / "summary.json") is None


def test_instruction_set_variable_is_recorded_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment_module.RESULT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = environment_module.environment("cpu")
    assert before["variables"] == {}
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    now = environment_module.environment("cpu")
    assert now["variables"] == {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    differences = environment_module.diff_environments(before, now)
    assert differences == {
        "ATEN_CPU_CAPABILITY": "None then, default now",
        "MKL_CBWR": "None then, COMPATIBLE now",
    }
    older = {key: value for key, value in before.items() if key != "variables"}
    assert environment_module.diff_environments(older, now) == {}, "version 0.1.0 did not record them"


def test_clock_that_is_set_back_during_a_run_gives_no_negative_duration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with record(tmp_path / "run") as run:
        monkeypatch.setattr(semisup.record.writer, "now", lambda: "2001-01-01T00:00:00+00:00")
        monkeypatch.setattr("time.time", lambda: 978_307_200.0)  # the same time, in seconds
        run.finish(Finished(3, 1, {"steps": 3}), [])
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["started_at"] <= about["updated_at"] == about["ended_at"]
    assert about["seconds"] >= 0
