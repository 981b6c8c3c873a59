"""A secret of whoever runs this is in no file of a run."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from semisup.config import schema
from semisup.errors import SettingError
from semisup.record.environment import LARGEST_DIFF, git_diff
from semisup.runtime.secrets import redact, secrets
from tests.conftest import compose
from tests.reliability import report

ROOT = Path(__file__).resolve().parents[2]
PLANTED = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdefplantedk",
    "HF_TOKEN": "hf_plantedtoken",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+access",
    "DATABASE_PASSWORD": "planted pass word",
}
OF_THE_ADDRESS = "plantedremote"


def test_names_tell_what_is_a_secret() -> None:
    found = secrets({**PLANTED, "KEYBOARD": "qwertz-layout", "HOME": "/home/someone", "API_KEY": "short"})
    assert set(found) == set(PLANTED)


def test_what_is_hidden_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    text = f"train --key {PLANTED['HF_TOKEN']} https://me:{OF_THE_ADDRESS}@host/x and ssh://host:22/y"
    assert redact(text) == "train --key [HF_TOKEN] https://[hidden]@host/x and ssh://host:22/y"


def test_a_setting_that_is_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", PLANTED["WANDB_API_KEY"])
    config = compose("name=a${oc.env:WANDB_API_KEY}", "tracking=none")
    with pytest.raises(SettingError, match=r"name=\$WANDB_API_KEY: is a secret") as caught:
        schema.validate(config)
    assert PLANTED["WANDB_API_KEY"] not in str(caught.value)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A changed checkout of this program with a password in the address of its remote, in which a run was made."""
    place = tmp_path_factory.mktemp("checkout")
    for name in ("semisup", "conf"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / ".gitignore").write_text("outputs\nhome\n__pycache__\n")
    git(place, "init", "--quiet")
    git(place, "remote", "add", "origin", f"https://me:{OF_THE_ADDRESS}@example.org/repository")
    git(place, "add", ".")
    git(place, "-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "--message", "all")
    with (place / "semisup" / "ema.py").open("a") as file:
        file.write("# changed: " + " ".join(PLANTED.values()) + f" https://me:{OF_THE_ADDRESS}@example.org\n")
    (place / "semisup" / "added.py").write_text(f'KEY = "{PLANTED["HF_TOKEN"]}"\nNEW = 1\n')
    (place / "home").mkdir()
    words = [
        "train",
        "train.steps=4",
        "model.widths=[4,8]",
        "plots=false",
        "method=supervised",
        "tracking.thumbnails=0",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "semisup", *words, f"tracking.tags=[{PLANTED['HF_TOKEN'][:6]}]"],
        cwd=place,
        env={**os.environ, **PLANTED, "HOME": str(place / "home"), "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return place


def git(place: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=place, check=True, capture_output=True, timeout=60)


def test_a_planted_secret_is_in_no_file_of_a_run(checkout: Path) -> None:
    kinds = {"the environment": list(PLANTED.values()), "the address of the git remote": [OF_THE_ADDRESS]}
    kinds["both, as base64"] = [
        base64.b64encode(text.encode()).decode().rstrip("=")
        for text in (*PLANTED.values(), f"api:{PLANTED['WANDB_API_KEY']}", f"me:{OF_THE_ADDRESS}")
    ]
    files = [path for name in ("outputs", "home") for path in (checkout / name).rglob("*") if path.is_file()]
    assert {"config.yaml", "run.json", "git.diff", "debug.log"} <= {path.name for path in files}
    assert [path for path in files if path.suffix == ".wandb"]
    content = {path: path.read_bytes() for path in files}
    found = {
        kind: sorted({str(path) for path in files for text in texts if text.encode() in content[path]})
        for kind, texts in kinds.items()
    }
    rows = [[kind, len(kinds[kind]), len(places)] for kind, places in found.items()]
    report(
        *("g-secrets", "Secrets"),
        "Planted where a run could find them, and in uncommitted changes of the code; then looked for in every file\n"
        "of the run, those of W&B and the home folder included. `tests/runtime/test_secrets.py`.",
        *(["planted in", "secrets", "found"], rows),
    )
    assert not any(found.values()), found


def test_uncommitted_changes_are_kept_and_the_secrets_in_them_are_not(checkout: Path) -> None:
    (path,) = (checkout / "outputs").glob("*/*/git.diff")
    text = path.read_text()
    assert "+# changed: [WANDB_API_KEY] [HF_TOKEN] [AWS_SECRET_ACCESS_KEY] [DATABASE_PASSWORD]" in text
    assert "https://[hidden]@example.org" in text
    assert "diff: semisup/added.py is new" in text
    assert "+NEW = 1" in text


def test_changes_that_are_not_unicode_cost_no_run(tmp_path: Path) -> None:
    from semisup.record.environment import run_git

    git(tmp_path, "init", "--quiet")
    (tmp_path / "words.txt").write_bytes(b"plain\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet", "--message=one")
    (tmp_path / "words.txt").write_bytes("café\n".encode("latin-1"))
    assert "+caf\\xe9" in run_git(tmp_path, "diff", "HEAD")


def test_a_file_elsewhere_in_the_checkout_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup.record import environment

    monkeypatch.setattr(environment, "_git", lambda: {"dirty": True})
    monkeypatch.setattr(environment, "run_git", lambda *_: "")
    assert git_diff.__wrapped__() is None


def test_a_large_diff_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup.record import environment

    monkeypatch.setattr(environment, "_git", lambda: {"dirty": True})
    monkeypatch.setattr(
        environment, "run_git", lambda _, first, *rest: "x" * 2 * LARGEST_DIFF if first == "diff" else ""
    )
    text = git_diff.__wrapped__()
    assert text is not None
    assert len(text) < LARGEST_DIFF + 100
    assert text.endswith(f"cut at {LARGEST_DIFF} characters\n")
