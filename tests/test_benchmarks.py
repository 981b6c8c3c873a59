"""The benchmark runs, its names are those of its goals, and its page keeps what was not measured again."""

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import goals, gpu, gpu_day, results, steps
from benchmarks.clock import Plan
from tests import preloaded


def test_an_entry_is_measured_and_has_a_goal() -> None:
    name = "step_over_bare.small_cnn_64.self_training"
    ((found, measured),) = steps.measure(Plan(quick=True, rounds=1, only=(name,)))
    assert found == name
    assert measured.value > 0.2
    assert measured.seconds["ours"] > 0
    assert [entry.goal for entry in goals.entries(2) if entry.name == found] == ["<= 1.05"]


def test_no_two_entries_have_one_name() -> None:
    names = [entry.name for entry in goals.entries(2)]
    assert len(names) == len(set(names))


def test_the_page_keeps_the_rows_that_were_not_measured_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench -->\n<!-- end -->\nafter\n")
    row = ("1.0", "", "", "", "", "")
    results.write_page(page, "first", ["a", "b"], [("a", *row), ("b", *row)])
    results.write_page(page, "second", ["a", "b"], [("a", "2.0", *row[1:])])
    text = page.read_text()
    assert "second" in text
    assert "| a | 2.0 |" in text
    assert "| b | 1.0 |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_the_idle_share_of_a_device_is_the_time_without_operations() -> None:
    assert gpu.idle_share([(0.0, 1.0), (2.0, 4.0), (3.0, 4.0)]) == 0.25


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_a_profile_has_what_the_kernels_are_told_by() -> None:
    assert gpu.kernels(lambda: torch.ones(3).sum()) == []


def test_a_dry_run_of_the_gpu_day_writes_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for module, name in ((gpu, "DEVICE"), (gpu, "SHAPE"), (gpu, "POOL"), (gpu, "ENCODER"), (gpu, "KINDS")):
        monkeypatch.setattr(module, name, getattr(module, name))  # restored at the end
    monkeypatch.setattr(gpu, "kernels", gpu.kernels)
    monkeypatch.setattr(torch.cuda, "synchronize", torch.cuda.synchronize)
    monkeypatch.setattr(gpu_day, "subprocess", SimpleNamespace(run=preloaded.run))
    assert gpu_day.main(["--dry-run", "--minutes", "3", "--output", "results.jsonl"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row for row in rows if "error" in row or "skipped" in row] == []
    entries = [row["entry"] for row in rows if "entry" in row]
    assert sorted(entries) == sorted(entry.name for entry in goals.entries(2) if entry.name.startswith("gpu."))
    parts = list(dict.fromkeys(row["part"] for row in rows))
    assert parts == ["machine", *gpu.PARTS, "ddp", "cifar10", "end"]
    assert [row["processes"] for row in rows if row["part"] == "ddp"] == [1, 2]
    assert [row["labels"] for row in rows if "test/accuracy" in row and row["part"] == "cifar10"] == [40, 250]
    assert [row for row in rows if row["part"] == "cifar10" and "val/accuracy" in row]
    assert all(row["value"] > 0 for row in rows if "entry" in row and "idle" not in row["entry"])


def test_the_gpu_day_says_what_it_skips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = gpu_day.Day(1.0, tmp_path / "results.jsonl", str(tmp_path), dry_run=False)
    monkeypatch.setattr(gpu_day, "environment", lambda device: {})
    gpu_day._run_part(day, "compiled", lambda day: iter([{"value": 1}]))
    gpu_day._run_part(day, "host", lambda day: iter([{"value": 1}]))
    monkeypatch.setitem(gpu_day.NEEDED_MINUTES, "cifar10", 0.0)
    gpu_day._run_part(day, "cifar10", gpu_day._cifar10)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert rows[0]["skipped"] == "1.0 minutes are left, it needs 2"
    assert rows[1]["value"] == 1
    assert "cifar-10-batches-py" in rows[2]["skipped"]


def test_the_gpu_day_writes_evaluations_while_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu_day, "POLL_SECONDS", 0.05)
    day, rows = gpu_day.Day(10.0, tmp_path / "results.jsonl", "", dry_run=True), list[gpu_day.Row]()

    def write(row: gpu_day.Row) -> None:
        rows.append(row)
        if len(rows) == 1:
            os.kill(os.getpid(), signal.SIGTERM)  # the run goes on until now

    monkeypatch.setattr(day, "write", write)
    words = [*gpu_day.DRY_RECIPE, "device=cpu", "output_root=.", "name=gpu_day"]
    words += ["train.steps=1000000", "train.evaluate_every_steps=5"]
    with gpu_day._evaluations(day, {"labels": 40}), gpu_day._time_limit(600), pytest.raises(KeyboardInterrupt):
        gpu_day.semisup.train(words)
    assert {row["labels"] for row in rows} == {40}
    assert rows[0]["step"] == 5


def test_the_gpu_day_ends_a_run_when_its_time_is_over() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), gpu_day._time_limit(0.05) as stopped:
        time.sleep(30)
    assert stopped.is_set()
    assert signal.getsignal(signal.SIGTERM) is before
    with gpu_day._time_limit(30.0) as stopped:
        pass
    assert not stopped.is_set()
