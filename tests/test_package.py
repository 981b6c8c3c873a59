"""The wheel: built, installed in an environment of its own, used from an empty folder."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def call(*words: object, folder: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=clean, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    return next(folder.glob("semisup-*.whl"))


def test_the_wheel_carries_every_default(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"semisup/conf/{path.relative_to(ROOT / 'conf').as_posix()}" in names
    assert {f"semisup/report/html/templates/{name}" for name in ("page.html", "report.css", "report.js")} <= names
    assert not any(name.startswith(("tests/", "outputs/")) for name in names)


def test_installed_it_works_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """Only semisup is installed; its dependencies come from the environment of the tests."""
    home, empty = tmp_path / "environment", tmp_path / "empty"
    empty.mkdir()
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=empty).strip())
    command = (sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-deps", "--no-index", wheel)
    call(*command, folder=empty)
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    where = call(python, "-c", "import semisup; print(semisup.__file__)", folder=empty)
    assert str(site) in where, "the clone, not the wheel"
    assert "Train image classifiers" in call(home / "bin" / "semisup", "--help", folder=empty)
    words = ("train", "train.steps=6", "tracking=none", "plots=false")
    assert "done: outputs/runs/" in call(home / "bin" / "semisup", *words, folder=empty)
    assert list(empty.glob("outputs/runs/*/summary.json"))
