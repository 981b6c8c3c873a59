"""Test the commands on a system that has no fork, no fcntl, no /proc, ... (tests/other_platform.py)."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pandas
import pytest
from PIL import Image

from semisup.errors import SettingError
from semisup.runtime import descriptors, file_names, missing_features
from tests import preloaded
from tests.conftest import checked
from tests.other_platform import MODULES, OS_NAMES, SIGNAL_NAMES
from tests.preloaded import Preloaded
from tests.test_architecture import imports, parsed

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-m", "tests.other_platform")
SMALL = ("tracking=none", "plots=false", "model.widths=[4,8]", "train.epochs=2", "device=cpu", "threads=1")
MISSING = ("time of decoding", "memory of decoding", "is renamed", "after a power loss", "only Ctrl-C")


def semisup(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    done = preloaded.run(
        [*COMMAND, *words], cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three classes, more than one process of the program decodes by itself."""
    folder = tmp_path_factory.mktemp("photos")
    random = numpy.random.default_rng(0)
    for split, count in (("training/labeled", 9), ("training/unlabeled", 12), ("validation", 9), ("testing", 9)):
        for number in range(count):
            place = folder / split / str(number % 3)
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 80, (16, 16, 3), dtype=numpy.uint8)
            pixels[4 * (number % 3) : 4 * (number % 3) + 4] += 150
            Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


def test_every_command_works(tmp_path: Path, photos: Path) -> None:
    words = (*SMALL, "dataset=folder", f"dataset.root={photos}", "dataset.size=8", "dataset.workers=2")
    trained = semisup(tmp_path, "train", *words)
    assert trained.returncode == 0, trained.stderr
    assert [part for part in MISSING if trained.stderr.count(part) != 1] == []
    (run,) = (path.parent for path in tmp_path.glob("outputs/runs/*/summary.json"))
    assert not (run / "owner.json").exists()
    assert not [*run.glob("*.tmp"), *run.glob(".*.tmp")]

    swept = semisup(tmp_path, "train", "-m", *words, "seed=1,2", "name=sweep")
    assert swept.returncode == 0, swept.stderr
    assert len([*tmp_path.glob("outputs/sweep/*/summary.json")]) >= 2

    compared = semisup(tmp_path, "compare", "outputs/sweep")
    assert compared.returncode == 0, compared.stderr
    assert len(pandas.read_csv(tmp_path / "outputs/sweep/comparison.csv")) >= 2
    shown = semisup(tmp_path, "show", str(run))
    assert (shown.returncode, "test/accuracy" in shown.stdout or "accuracy" in shown.stdout) == (0, True), shown.stderr
    again = semisup(tmp_path, "reproduce", str(run))
    assert again.returncode == 0, again.stdout + again.stderr
    predicted = semisup(tmp_path, "predict", str(run), str(photos / "testing"), "--output", "classes.csv")
    assert predicted.returncode == 0, predicted.stderr
    assert len(pandas.read_csv(tmp_path / "classes.csv")) == 9


def test_the_results_are_those_of_this_system(tmp_path: Path) -> None:
    other = semisup(tmp_path, "train", *SMALL, "name=other", "seed=3")
    here = preloaded.run(
        [sys.executable, "-m", "semisup", "train", *SMALL, "name=here", "seed=3"],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (other.returncode, here.returncode) == (0, 0), other.stderr + here.stderr
    summaries = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("outputs/*/*/summary.json"))]
    assert len(summaries) == 2
    left, right = ({key: value for key, value in each.items() if "second" not in key} for each in summaries)
    assert left == right


def test_ctrl_c_saves_a_run_which_then_continues(tmp_path: Path) -> None:
    words = [*COMMAND, "train", *SMALL, "train.epochs=3000"]
    with Preloaded(words, cwd=tmp_path, env=dict(os.environ), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not [*tmp_path.glob("outputs/runs/*/metrics.jsonl")]:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    (run,) = (path.parent for path in tmp_path.glob("outputs/runs/*/run.json"))
    assert [*(run / "checkpoints").glob("last*")]
    assert not [*run.glob("owner.json")]


def test_the_lock_of_another_running_process_is_respected(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['semisup', '--version']; import tests.other_platform as other\n"
        "try:\n other.main()\nexcept SystemExit:\n pass\n"  # it removes the functions, and prints the version
        "from pathlib import Path; from semisup.record.lock import RunLock; import subprocess, os\n"
        "folder = Path('run'); folder.mkdir(); lock = RunLock(folder); lock.acquire()\n"
        "started = __import__('semisup.runtime.liveness').runtime.liveness.start_time\n"
        "print(started(os.getpid()) == started(os.getpid()), started(2**22 + 1), started(os.getppid()) is not None)\n"
        "try:\n RunLock(folder).try_acquire()\n"
        "except Exception as error:\n print(type(error).__name__, 'process' in str(error))\n"
        "lock.release(); print(sorted(path.name for path in folder.iterdir() if path.name != 'owner.lock'))"
    )
    done = preloaded.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-3:] == ["True None True", "InUseError True", "[]"], done.stderr


def test_files_are_read_and_written_at_a_position_without_pread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, buffer = tmp_path / "file", bytearray(4)
    path.write_bytes(b"0123456789")
    for name in ("pread", "preadv", "pwrite"):
        monkeypatch.delattr(os, name)
    descriptor = os.open(path, descriptors.UPDATE)
    assert descriptors.read_at(descriptor, 3, 2) == b"234"
    assert descriptors.read_into(descriptor, memoryview(buffer), 8) == 2
    descriptors.write_at(descriptor, b"ab", 4)
    os.close(descriptor)
    assert (bytes(buffer[:2]), path.read_bytes()) == (b"89", b"0123ab6789")


def test_linux_lacks_no_feature() -> None:
    assert missing_features.missing_features() == []


@pytest.mark.parametrize("name", ["con", "NUL.tar", "lpt1", "ends."])
def test_a_name_that_windows_reserves_is_refused_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked(f"name={name}").run.name == name
    monkeypatch.setattr(file_names, "IS_WINDOWS", True)
    with pytest.raises(SettingError, match="Windows reserves"):
        checked(f"name={name}")
    assert checked("name=console").run.name == "console"


FILES = sorted(path for path in (ROOT / "semisup").rglob("*.py") if path.name != "resource_limits.py")
"""All files but the one that sets limits only if the module resource could be imported."""


def test_what_only_some_systems_have_is_used_where_it_was_asked_for() -> None:
    """`os.fork`, `signal.SIGHUP`, ... may be used in a file that checks by `hasattr` that the system has it."""
    wrong = []
    for path in FILES:
        nodes = [*ast.walk(parsed(path))]
        asked = {
            node.args[1].value
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr"
            if isinstance(node.args[1], ast.Constant)
        }
        used = {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute)
            if isinstance(node.value, ast.Name) and node.value.id in ("os", "signal")
        }
        names = (used & {*OS_NAMES, *SIGNAL_NAMES}) - asked
        modules = {name.split(".")[0] for name in imports(path)} & {*MODULES}
        wrong += [f"{path}: {name}" for name in sorted(names | modules)]
    assert wrong == []
