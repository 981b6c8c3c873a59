"""Test `semisup train` in a process of its own: exit status, files on disk, signals, sweeps."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
import yaml
from PIL import Image

from semisup.__main__ import main
from semisup.cli.train import train_command
from tests import preloaded
from tests.conftest import Within
from tests.preloaded import Preloaded

QUICK = ("train.epochs=3", "model.widths=[8,16]", "tracking=none")
EAGER = ("method.gate=0", "threshold.tau=0.2", "method.refresh_every=1")


def semisup(folder: Path, *words: str, interpreter: Any = preloaded) -> subprocess.CompletedProcess[str]:
    """Run the program in `folder`; `interpreter=subprocess` starts a new one."""
    environment = os.environ | {"COLUMNS": "200", "WANDB_MODE": "offline"}
    command = [sys.executable, "-m", "semisup", *words]
    done: subprocess.CompletedProcess[str] = interpreter.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    return done


def only_run(folder: Path) -> Path:
    runs = [path.parent for path in folder.glob("outputs/*/*/config.yaml")]
    assert len(runs) == 1, runs
    return runs[0]


def digests(run: Path) -> dict[str, tuple[int, bytes]]:
    """Return modification time and content of every file in a folder."""
    return {
        str(path.relative_to(run)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in run.rglob("*")
        if path.is_file()
    }


def numbers(run: Path) -> list[dict[str, Any]]:
    """Read the rows of metrics.jsonl as strict JSON, without wall-clock times."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    rows = [json.loads(line, parse_constant=refuse) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.endswith("_seconds")} for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one finished run and real W&B files."""
    folder = tmp_path_factory.mktemp("one")
    done = semisup(folder, "train", "train.epochs=4", "model.widths=[8,16]", *EAGER, interpreter=subprocess)
    assert done.returncode == 0, done.stderr
    assert "done: outputs/runs/" in done.stdout
    return folder


def test_finished_run_has_every_file(finished: Path) -> None:
    run = only_run(finished)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["train"]["epochs"] == 4
    assert config["dataset"]["split_seed"] == 0, "resolved"
    about = json.loads((run / "run.json").read_text())
    assert about["status"] == "done"
    assert about["environment"]["packages"]["torch"]
    assert about["dataset"]["counts"]["labeled"] == 40
    summary = json.loads((run / "summary.json").read_text())
    assert 0 <= summary["test/accuracy"] <= 1
    assert sum(map(sum, summary["confusion"]["test"])) == about["dataset"]["counts"]["test"]
    rows = numbers(run)
    assert all({"step", "epoch"} <= set(row) for row in rows)
    assert [row["epoch"] for row in rows if "val/accuracy" in row] == [1, 2, 3, 4]
    assert max(row["val/accuracy"] for row in rows if "val/accuracy" in row) == summary["best/val/accuracy"]
    assert {path.stem for path in (run / "plots").glob("*.png")} == {
        "curves",
        "rounds",
        "confusion_validation",
        "confusion_test",
        "pseudo_labels",
        "what_if",
        "calibration",
    }
    assert not list(run.rglob("*.tmp"))
    assert not (run / "owner.json").exists()


def test_pseudo_labels_are_a_table_that_pandas_reads(finished: Path) -> None:
    run = only_run(finished)
    table = pandas.read_csv(run / "pseudo_labels.csv")
    assert list(table.columns) == ["round", "epoch", "step", "path", "class", "confidence", "weight", "kept"]
    rounds = [row for row in numbers(run) if "pseudo/round" in row]
    assert sorted(table["round"].unique()) == [row["pseudo/round"] for row in rounds]
    for row in rounds:
        part = table[table["round"] == row["pseudo/round"]]
        assert len(part) == 1038
        assert part["kept"].mean() == pytest.approx(row["pseudo/coverage"])
        assert part["confidence"].mean() == pytest.approx(row["pseudo/confidence"], rel=1e-5)
        assert ((part["confidence"] >= 0.2) == (part["kept"] == 1)).all()


def test_pandas_reads_the_other_tables_and_they_agree_with_the_log(finished: Path) -> None:
    run = only_run(finished)
    summary = json.loads((run / "summary.json").read_text())
    rounds = [row for row in numbers(run) if "pseudo/round" in row]
    curves, classes = pandas.read_csv(run / "what_if.csv"), pandas.read_csv(run / "classes.csv")
    assert list(curves.columns) == ["step", "epoch", "on", "tau", "coverage", "accuracy"]
    pool = curves[(curves["on"] == "pool") & (curves["tau"] == 0.2)]
    assert list(pool["coverage"]) == pytest.approx([row["pseudo/coverage"] for row in rounds], abs=1e-6)
    best = curves[(curves["on"] == "validation") & (curves["step"] == summary["best/step"])]
    assert best["accuracy"].iloc[0] == pytest.approx(summary["best/val/accuracy"], abs=1e-6)
    reached = best[best["accuracy"] >= 0.95]
    assert (reached["tau"].min() if len(reached) else None) == summary["what_if/tau_for_95"]
    for row in rounds:
        part = classes[classes["round"] == row["pseudo/round"]]
        assert len(part) == 10
        assert part["kept"].sum() == row["pseudo/count"]
        assert part["labeled"].sum() == 1038
    assert len(summary["reliability"]["test"]) == 2, "as the model is, and calibrated"
    assert 0 <= summary["test/ece"] <= 1


def test_predictions_are_a_table_that_pandas_reads_and_agree_with_the_summary(finished: Path) -> None:
    run = only_run(finished)
    table = pandas.read_csv(run / "predictions.csv", dtype={"class": str, "predicted": str})
    assert list(table.columns) == ["split", "path", "class", "predicted", "confidence"]
    summary = json.loads((run / "summary.json").read_text())
    names = json.loads((run / "run.json").read_text())["dataset"]["classes"]
    for split, accuracy in (("validation", "best/val/accuracy"), ("test", "test/accuracy")):
        part = table[table["split"] == split]
        assert (part["class"] == part["predicted"]).mean() == pytest.approx(summary[accuracy])
        counts = pandas.crosstab(part["class"], part["predicted"]).reindex(index=names, columns=names, fill_value=0)
        assert counts.to_numpy().tolist() == summary["confusion"][split]
    assert table["confidence"].between(0.1, 1).all()
    assert table["path"].is_unique


def test_collapse_warns_and_can_stop_the_run(tmp_path: Path, within: Within) -> None:
    words = ("train", *QUICK, *EAGER[:1], "method.refresh_every=1", "threshold.tau=0", "plots=false")
    blind = ("optimizer=sgd", "optimizer.lr=1e-9", "schedule=constant")  # every digit is the same to it
    done = within(tmp_path, *words, *blind, "collapse.warn_below=0.9")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pseudo-labels collapse at step 3: ") == 1
    stopped = within(tmp_path, *words, *blind, "collapse.stop_below=0.9", "name=stopped")
    assert stopped.returncode == 3
    assert "collapsed: pseudo-labels collapse at step 3: " in stopped.stderr
    run = next(tmp_path.glob("outputs/stopped/*/run.json"))
    assert json.loads(run.read_text())["status"] == "collapsed"
    compared = within(tmp_path, "compare", "outputs/stopped")
    assert "collapsed" in compared.stdout
    assert within(tmp_path, *words, *blind, "name=stopped").returncode == 0, "the same run, now allowed to go on"


def test_checkpoints_load_as_weights_only(finished: Path) -> None:
    folder = only_run(finished) / "checkpoints"
    kinds = {path.name.split("-")[0] for path in folder.iterdir()}
    assert kinds == {"best"}, "nothing resumes a finished run"
    for path in folder.iterdir():
        assert torch.load(path, weights_only=True)


def test_offline_wandb_file_is_written(finished: Path) -> None:
    files = list((finished / "outputs" / "wandb").rglob("*.wandb"))
    assert len(files) == 1
    assert files[0].stat().st_size > 5000


def test_same_command_reuses_a_finished_run(finished: Path) -> None:
    run = only_run(finished)
    before = digests(run)
    again = semisup(finished, "train", "train.epochs=4", "model.widths=[8,16]", *EAGER)
    assert again.returncode == 0
    assert "already done" in again.stdout
    assert digests(run) == before


def test_several_values_without_m_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train_command(["tracking=none", "threshold.tau=0.7,0.8"]) == 2
    assert "threshold.tau=0.7,0.8: has several values; add -m to start a sweep" in capsys.readouterr().err
    assert train_command(["tracking=none", "threshold.tau=interval(0,1)"]) == 2
    assert "threshold.tau=interval(0,1): has several values; add -m to start a sweep" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["treshold.tau=0.9"], "treshold.tau=0.9: no such key; type threshold.tau=0.9"),
        (["+typo=3"], "typo=3: no such key"),
        (["dataset.root=photos"], "dataset.root=photos: no such key in dataset=digits; it is a key of "),
        (["optimizer=adam"], "optimizer=adam: must be one of adamw, sgd (did you mean adamw?)"),
        (["method=freematch"], "; threshold has the option freematch: type threshold=freematch\n"),
        (["hydra/launcher=halving"], "; hydra/sweeper has the option halving: type hydra/sweeper=halving\n"),
        (["threshold=none"], "threshold=none: must be one of adamatch, "),
        (["threshold.tau=nan"], "threshold.tau=nan: must be a finite number"),
        (["train.batch_size=0"], "train.batch_size=0: must be at least 1"),
        (["model=cnn"], "dataset.size=8: must be at least 32 with model=cnn, which halves the side 5 times"),
        (["dataset=folder", "dataset.root=nowhere"], "nowhere: there is no such folder"),
        (["experiment=treshold_by_strength"], "did you mean threshold_by_strength?"),
        (["--verbose"], "--verbose: not a flag"),
        (["a=b=c"], "a=b=c: no such key"),
        (["threshold"], "threshold: must have the form key=value; a value with a space needs quotes"),
        (["fixmatch"], "fixmatch: must have the form key=value; type method=fixmatch\n"),
        (["/"], "/: must have the form key=value; for a folder of images, type dataset=folder dataset.root=/\n"),
    ],
)  # fmt: skip
def test_invalid_setting_prints_one_line_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train_command(["tracking=none", *words]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1, error
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_help_describes_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_command(["--help", "method.gate"]) == 0
    assert "method.gate=0.6" in capsys.readouterr().out


def test_completion_lists_the_continuations_of_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "semisup train thresh")
    done = semisup(tmp_path, "train", "--shell-completion", "query=bash")
    assert (done.returncode, done.stdout.split()) == (0, ["threshold.", "threshold="])
    installed = semisup(tmp_path, "train", "-sc", "install=bash")
    assert (installed.returncode, "COMP_LINE" in installed.stdout) == (0, True)


def test_invalid_swept_value_prints_one_line(tmp_path: Path) -> None:
    done = semisup(tmp_path, "train", "tracking=none", "-m", "threshold.tau=0.5,7")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("semisup: warning: the validation set")]
    assert (done.returncode, len(lines)) == (2, 1)
    assert "threshold.tau=7.0: must be in [0, 1]" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_invalid_setting_exits_with_2_in_the_real_program(tmp_path: Path) -> None:
    done = semisup(tmp_path, "train", "treshold.tau=0.9", interpreter=subprocess)
    assert done.returncode == 2
    assert done.stderr == "semisup train: treshold.tau=0.9: no such key; type threshold.tau=0.9\n"
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_options(tmp_path: Path) -> None:
    for words in (["--help"], ["train", "--help"], ["compare", "--help"], ["predict", "--help"]):
        done = semisup(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout) > 400, words
    text = semisup(tmp_path, "train", "--help").stdout
    for word in ("threshold", "quantile", "crop_rotate", "self_training", "-m"):
        assert word in text
    assert semisup(tmp_path, "train", "--cfg", "job", "threshold=ramp").stdout.count("tau_start: 0.99") == 1
    assert list(tmp_path.iterdir()) == []


def test_sweep_trains_every_run_with_its_control_and_continues(tmp_path: Path) -> None:
    words = (
        "train",
        "-m",
        *QUICK,
        *EAGER[:1],
        "method.refresh_every=1",
        "plots=false",
        "threshold.tau=0.2,0.3",
        "seed=0,1",
    )
    done = semisup(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "4 runs: 4 done" in done.stdout
    runs = sorted(path.parent for path in tmp_path.glob("outputs/runs/*/summary.json"))
    kinds = ["-".join(path.name.split("-")[:2]) for path in runs]
    assert kinds.count("self_training-fixed") == 4
    assert kinds.count("self_training-lambda0") >= 2, "controls"
    assert sum(kind.startswith("supervised") for kind in kinds) >= 4, "baselines and labels-only runs"
    for run in runs:
        if run.name.startswith("self_training-fixed"):
            summary = json.loads((run / "summary.json").read_text())
            steps = [
                yaml.safe_load((other / "config.yaml").read_text())["train"]["steps"]
                for other in runs
                if other.name.startswith("self_training-lambda0")
            ]
            assert summary["steps"] in steps
    before = {run: digests(run) for run in runs}
    again = semisup(tmp_path, *words)
    assert again.returncode == 0
    assert "4 runs: 4 done (4 reused)" in again.stdout
    assert {run: digests(run) for run in runs} == before
    missing = next(run for run in runs if run.name.startswith("self_training-fixed"))
    (missing / "summary.json").unlink()
    once_more = semisup(tmp_path, *words)
    assert "(3 reused)" in once_more.stdout
    assert numbers(missing), "made again"


def test_jobs_that_share_a_control_wait_for_it(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("train", "-m", *QUICK, "method.gate=1", "plots=false", "threshold.tau=0.7,0.8", "train.steps=60")
    done = semisup(tmp_path, *words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 runs: 2 done; 3 reference runs" in done.stdout


def test_finished_run_on_other_images_is_not_reused(tmp_path: Path, within: Within) -> None:
    from tests.conftest import toy_images

    for place in ("one", "three"):
        for split in ("training/labeled", "validation"):
            images = toy_images(12, 3, channels=3, seed=len(place + split))
            for number, (pixels, target) in enumerate(zip(images.pixels, images.targets.tolist(), strict=True)):
                folder = tmp_path / place / "photos" / split / f"{target:02d}"
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    words = ("train", *QUICK, "plots=false", "method=supervised", "dataset=folder", "dataset.size=8")
    words += ("dataset.unlabeled=null", "train.batch_size=4")
    assert within(tmp_path, *words, "dataset.root=one/photos").returncode == 0
    assert "already done" in within(tmp_path / "one", *words, "dataset.root=photos", "output_root=../outputs").stdout
    other = within(tmp_path, *words, "dataset.root=three/photos")
    assert other.returncode == 2
    assert "the data set has changed" in other.stderr


def test_joblib_launcher_gives_the_same_results_as_the_basic_launcher_and_a_single_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    same = (*QUICK, *EAGER, "plots=false")
    words = ("train", "-m", *same, "augment.strength=0,0.5", "sweep.control=false")
    basic, parallel = tmp_path / "basic", tmp_path / "parallel"
    basic.mkdir(), parallel.mkdir()
    assert semisup(basic, *words).returncode == 0
    done = semisup(parallel, *words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    for run in basic.glob("outputs/runs/*/config.yaml"):
        twin = parallel / run.parent.relative_to(basic)
        assert numbers(run.parent) == numbers(twin)
        assert (run.parent / "pseudo_labels.csv").read_bytes() == (twin / "pseudo_labels.csv").read_bytes()
        names = {path.name for path in (run.parent / "checkpoints").glob("best*")}
        assert names == {path.name for path in (twin / "checkpoints").glob("best*")}, "the digest is in the name"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["semisup", "reproduce", str(twin), "tracking=none", "plots=false"])
    assert main() == 0
    assert "identical (" in capsys.readouterr().out
    assert train_command([*same, "augment.strength=0.5", "name=alone"]) == 0
    (alone,) = (tmp_path / "outputs" / "alone").iterdir()
    assert_same_record(alone, basic / "outputs" / "runs" / alone.name)


SMALL = ("model.widths=[8,16]", "plots=false", "checkpoint.every_seconds=0.1")
LONG = ("train", "tracking=none", "train.epochs=25", *SMALL, *EAGER)


def begin(folder: Path) -> subprocess.Popen[str]:
    """Start the long run in a process of its own."""
    command = [sys.executable, "-m", "semisup", *LONG]
    return Preloaded(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_rows(folder: Path, wanted: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        logs = list(folder.glob("outputs/*/*/metrics.jsonl"))
        if logs and logs[0].read_text().count("\n") >= wanted:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {wanted} rows in two minutes")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long run, trained without interruption."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert semisup(folder, *LONG).returncode == 0
    return only_run(folder)


def assert_same_record(one: Path, other: Path) -> None:
    assert numbers(one) == numbers(other)
    assert (one / "pseudo_labels.csv").read_bytes() == (other / "pseudo_labels.csv").read_bytes()
    states = [{path.name for path in (run / "checkpoints").iterdir()} for run in (one, other)]
    assert states[0] == states[1], "the digest of a checkpoint is in its name"
    summaries = [json.loads((run / "summary.json").read_text()) for run in (one, other)]
    assert [summary.pop("total_seconds") > 0 for summary in summaries]
    assert summaries[0] == summaries[1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGUSR1, 75)])
def test_signal_saves_the_run_and_the_same_command_continues_bit_identically(
    tmp_path: Path, uninterrupted: Path, number: int, status: int, within: Within
) -> None:
    process = begin(tmp_path)
    wait_for_rows(tmp_path, 4)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    assert "type the same command again to continue" in errors
    run = only_run(tmp_path)
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert not (run / "summary.json").exists()
    assert 0 < len(numbers(run)) < len(numbers(uninterrupted))
    assert within(tmp_path, *LONG).returncode == 0
    about = json.loads((run / "run.json").read_text())
    assert (about["resumed"], about["interruptions"]) == (1, {signal.Signals(number).name: 1})
    assert_same_record(run, uninterrupted)


def test_run_killed_by_sigkill_continues_bit_identically(tmp_path: Path, uninterrupted: Path, within: Within) -> None:
    for wanted in (3, 12, 31):
        process = begin(tmp_path)
        wait_for_rows(tmp_path, wanted)
        process.kill()
        process.communicate(timeout=60)
    assert within(tmp_path, *LONG).returncode == 0
    run = only_run(tmp_path)
    assert_same_record(run, uninterrupted)
    again = within(tmp_path, "reproduce", str(run))
    assert (again.returncode, "identical (" in again.stdout) == (0, True), "as if it had not been interrupted"


def test_run_in_use_is_not_changed(tmp_path: Path) -> None:
    words = ["train", "tracking=none", "train.epochs=400", "plots=false"]
    first = Preloaded(
        [sys.executable, "-m", "semisup", *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("outputs/*/*/metrics.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.05)
        second = semisup(tmp_path, *words)
        assert second.returncode == 2
        assert re.search(rf"in use by process {first.pid} on ", second.stderr)
    finally:
        first.kill()
        first.wait(timeout=60)


def test_divergence_exits_with_3_and_names_the_step(tmp_path: Path, within: Within) -> None:
    done = within(tmp_path, "train", *QUICK, "optimizer=sgd", "optimizer.lr=1e9")
    assert done.returncode == 3, done.stderr
    assert re.search(r"diverged: the loss or a gradient of step \d+ is not finite", done.stderr)
    run = only_run(tmp_path)
    assert json.loads((run / "run.json").read_text())["status"] == "diverged"


def test_predict_classifies_files_as_the_run_would(finished: Path, tmp_path: Path, within: Within) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = tmp_path / "images" / "deep"
    images.mkdir(parents=True)
    for number in range(20):
        Image.fromarray((digits.images[number] * 255 / 16).round().astype("uint8")).save(images / f"{number:02d}.png")
    (images / "broken.png").write_bytes(b"not an image")
    run = only_run(finished)
    done = within(tmp_path, "predict", str(run), "images")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert len(rows) == 21
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    broken = next(row for row in rows if "broken" in row["path"])
    assert broken["class"] == ""
    assert broken["problem"]
    table = pandas.read_csv(run / "pseudo_labels.csv").query("round == round.max()")
    right = sum(row["class"] == str(digits.target[number]) for number, row in enumerate(rows[:20]))
    assert all(0 < float(row["confidence"]) <= 1 for row in rows[:20])
    assert right >= 2, "the model of four epochs knows something"
    assert len(table) == 1038
    to_file = within(tmp_path, "predict", str(run), "images", "--output", "classes.csv")
    assert to_file.returncode == 0
    assert (tmp_path / "classes.csv").read_text() == done.stdout


def test_run_without_pseudo_labels_prints_the_reason(tmp_path: Path, within: Within) -> None:
    done = within(tmp_path, "train", *QUICK, "plots=false", "method.gate=1")
    reason = "validation accuracy never exceeded method.gate=1.0 when the unlabeled set was due"
    assert reason in done.stderr
    assert json.loads((only_run(tmp_path) / "summary.json").read_text())["unused_reason"].startswith(reason)
    none = within(tmp_path, "train", *QUICK, "plots=false", "method.gate=0", "threshold.tau=1")
    assert "no pseudo-label was used: no confidence reached the threshold" in none.stderr


def test_recorded_command_of_a_sweep_job_reuses_its_run(tmp_path: Path, within: Within) -> None:
    words = ("train", "-m", *QUICK, "plots=false", "method=supervised", "seed=0,1")
    assert semisup(tmp_path, *words).returncode == 0
    run = next(tmp_path.glob("outputs/runs/*seed1*"))
    command = shlex.split(json.loads((run / "run.json").read_text())["command"])
    assert command[:2] == ["semisup", "train"]
    assert "seed=1" in command
    assert "already done" in within(tmp_path, *command[1:]).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "."], "nowhere: there is no such folder; type the directory of a run"),
        (["RUN", "nowhere"], "no such file or folder"),
        (["RUN", "."], "holds no image files"),
    ],
)
def test_predict_names_a_missing_file(
    finished: Path, tmp_path: Path, words: list[str], message: str, within: Within
) -> None:
    if words == ["nowhere", "."]:
        (tmp_path / "some.jpg").touch()
    done = within(tmp_path, "predict", *[str(only_run(finished)) if word == "RUN" else word for word in words])
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
