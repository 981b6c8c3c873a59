"""The Python interface: train, compare and load, as a script or a notebook uses them."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import semisup
from semisup import api
from semisup.errors import DataError, DivergedError, MissingPackageError, RecordError, SettingError
from semisup.record.status import RunStatus
from semisup.runner.result import RunResult
from tests.conftest import Program

QUICK: dict[str, object] = {
    "train": {"epochs": 2},
    "model.widths": (4, 8),
    "method": "supervised",
    "tracking": "none",
    "plots": False,
    "train.ema_decay": None,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def run(folder: Path) -> semisup.FinishedRun:
    before = os.getcwd()
    os.chdir(folder)
    try:
        return semisup.train(QUICK)
    finally:
        os.chdir(before)


def test_train_returns_the_finished_run(
    run: semisup.FinishedRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert json.loads((run.folder / "summary.json").read_text()) == run.summary
    assert not run.reused
    assert run.summary["test/accuracy"] > 0
    words = "train.epochs=2 model.widths=[4,8] method=supervised tracking=none plots=false train.ema_decay=null"
    command = shlex.join(["semisup", "train", *words.split()])
    assert json.loads((run.folder / "run.json").read_text())["command"] == command
    again = semisup.train(words.split())
    assert (again.folder, again.summary, again.reused) == (run.folder, run.summary, True)


def test_train_leaves_the_settings_of_the_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(2)
    handler = signal.getsignal(signal.SIGINT)
    before = (sys.argv, warnings.formatwarning, torch.random.get_rng_state().tolist())
    semisup.train({**QUICK, "seed": 1, "threads": 1})
    assert (sys.argv, warnings.formatwarning, torch.random.get_rng_state().tolist()) == before
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (2, False)
    assert signal.getsignal(signal.SIGINT) is handler


def test_train_works_in_a_thread(run: semisup.FinishedRun, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    results: list[semisup.FinishedRun] = []
    thread = threading.Thread(target=lambda: results.append(semisup.train(QUICK)))
    thread.start()
    thread.join()
    assert results[0].folder == run.folder


def test_loaded_run_classifies(run: semisup.FinishedRun, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    images = numpy.zeros((3, 8, 8, 3), numpy.uint8)
    for each in (run, run.folder, str(run.folder)):
        classifier = semisup.load(each)
        labels, confidences = classifier.predict(images)
        assert labels[0] in classifier.classes
        assert confidences.shape == (3,)


def test_compare_has_the_columns_and_values_of_the_csv(
    run: semisup.FinishedRun, folder: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert program("compare", "outputs/runs")[0] == 0
    with open("outputs/runs/comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    table = semisup.compare("outputs/runs")
    assert list(table.columns) == list(rows[0])
    assert table["id"].tolist() == [row["id"] for row in rows]
    assert table["test/accuracy"].tolist() == pytest.approx([float(row["test/accuracy"]) for row in rows])
    assert Path(table["folder"][0]).is_dir(), "relative to the current directory"
    assert run.folder.name in table["id"].tolist()
    assert len(semisup.compare(run)) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"threshold.tua": 0.9}, "threshold.tua=0.9: no such key .did you mean threshold.tau"),
        ("threshold.tau=0.9", r'overrides=threshold.tau=0.9: must be a list, such as \["threshold.tau=0.9"\]'),
        (["seed=0,1"], "seed=0,1: has several values"),
        (["-m"], "overrides=-m: must be settings of the form key=value"),
        (["experiment=threshold_by_strength"], "start a sweep, but semisup.train trains one run; type semisup train"),
    ],
)
def test_invalid_overrides_are_setting_errors(overrides: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        semisup.train(overrides)


def test_failures_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DivergedError, match="is not finite"):
        semisup.train({**QUICK, "optimizer": "sgd", "optimizer.lr": 1e30})
    with pytest.raises(DataError, match="there is no such folder"):
        semisup.compare("nowhere")
    with pytest.raises(RecordError, match="the directory of a run"):
        semisup.load("nowhere")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="type pip install pandas"):
        semisup.compare("outputs/runs")


def test_interrupted_run_raises_keyboard_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup import api

    monkeypatch.chdir(tmp_path)
    stopped = RunResult(Path("run"), RunStatus.INTERRUPTED, message="stopped", by="SIGUSR1")
    monkeypatch.setattr(api, "run", lambda *_, **__: stopped)
    received: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
    try:
        with pytest.raises(KeyboardInterrupt, match="run: stopped"):
            semisup.train(QUICK)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert received == [signal.SIGUSR1], "the handler that the program had installed"


def test_import_of_semisup_does_not_import_torch() -> None:
    code = (
        "import sys, semisup; assert 'load' in dir(semisup) and semisup.__version__; "
        "print([name for name in ('torch', 'numpy', 'hydra', 'semisup.api') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="module 'semisup' has no attribute 'predict'"):
        semisup.predict  # type: ignore[attr-defined]  # noqa: B018


NOTEBOOK = Path(__file__).parents[1] / "examples" / "python.ipynb"


IN_A_NOTEBOOK = """
import threading, numpy, semisup
from pathlib import Path
from PIL import Image
from semisup.runner.notebook_output import NotebookOutput

for part, count in (("training/labeled", 12), ("training/unlabeled", 30), ("validation", 6)):
    for number in range(count):
        place = Path("photos") / part / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        pixels = numpy.random.default_rng([count, number]).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
shown, show = [], NotebookOutput.show
NotebookOutput.show = lambda self, text: (shown.append(text), show(self, text))
NotebookOutput.is_due = lambda self: True  # a fast machine trains these runs between two updates
words = ["dataset=folder", "dataset.root=photos", "dataset.size=8", "dataset.workers=2", "model.widths=[4,8]"]
words += ["train.epochs=4", "tracking=none", "plots=false", "name=photos", "device=cpu", "method=supervised"]
runs = []
thread = threading.Thread(target=lambda: runs.append(semisup.train(words)))
thread.start()
thread.join()
runs.append(semisup.train([*words, "seed=1"]))
NotebookOutput.show = show
done = all((run.folder / "summary.json").exists() for run in runs) and len(runs) == 2
print("done", done, any("/4" in text for text in shown), any("\u2501" in text for text in shown))
"""
"""A cell that trains in a thread and then in the main thread, on images that other processes decode."""


def test_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")], "it is stored without outputs"
    notebook.cells.insert(1, nbformat.v4.new_code_cell(IN_A_NOTEBOOK))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert next(output["text"] for output in outputs if output["output_type"] == "stream") == "done True True True\n"
    assert "((20, 10), (20, " in outputs[-1]["data"]["text/plain"]
    assert len(list((tmp_path / "outputs/notebook").glob("*/summary.json"))) == 2


def test_recorded_command_quotes_only_what_needs_it() -> None:
    settings = {
        "method": "fixmatch",
        "dataset": {"root": "my photos", "layout": "auto"},
        "tracking.mode": "off",
        "x": None,
    }
    words = ["method=fixmatch", "dataset.root='my photos'", "dataset.layout=auto", "tracking.mode='off'", "x=null"]
    assert api._to_words(settings) == words
