"""Secrets of the user are in no file that is written."""

import base64
import os
import random
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest

from semisup.config import schema
from semisup.errors import SettingError
from semisup.record import write_json
from semisup.record.environment import LARGEST_DIFF, git_diff
from semisup.runtime.secrets import is_secret_name, redact, secrets
from tests.conftest import SOAK, compose
from tests.reliability import report

ROOT = Path(__file__).resolve().parents[2]
PLANTED = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdefplantedk",
    "HF_TOKEN": "hf_plantedtoken",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+access",
    "DATABASE_PASSWORD": "planted pass word",
    "PGPASSWORD": "plantedpostgres",
    "SSHPASS": "plantedsshpass",
    "BACKUP_PWD": "plantedbackup",
    "GITHUB_PAT": "plantedgithubpat",
    "API_KEYS": "plantedone,plantedtwo",
}
OF_THE_ADDRESS = "plantedremote"
TYPED = {"MIRROR_API_KEY": "plantedmirror1", "DEPLOY_TOKEN": "planteddeploy2"}
"""Given on the command line only, for Hydra to export."""

IN_YAML = "plantedyamlkey"
FUZZ_CASES = 20_000 if SOAK else 2_000


def test_secret_names() -> None:
    found = secrets({**PLANTED, "KEYBOARD": "qwertz-layout", "HOME": "/home/someone", "API_KEY": "short"})
    assert set(found) == set(PLANTED)
    no_secrets = ("PWD", "OLDPWD", "PATH", "COMPASS", "MONKEY", "TOKENIZERS_PARALLELISM")
    assert [name for name in no_secrets if is_secret_name(name)] == []


def test_redaction_keeps_the_rest_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    text = f"train --key {PLANTED['HF_TOKEN']} https://me:{OF_THE_ADDRESS}@host/x and ssh://host:22/y"
    assert redact(text) == "train --key [HF_TOKEN] https://[hidden]@host/x and ssh://host:22/y"
    code = "def f(key: str, token=tokenizer, cache_key=None): return sorted(x, key=operator.itemgetter(1))  # git@host"
    assert redact(code) == code
    assert redact(redact(text)) == redact(text)


def test_setting_that_is_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", PLANTED["WANDB_API_KEY"])
    config = compose("name=a${oc.env:WANDB_API_KEY}", "tracking=none")
    with pytest.raises(SettingError, match=r"name=\$WANDB_API_KEY: contains a secret") as caught:
        schema.validate(config)
    assert PLANTED["WANDB_API_KEY"] not in str(caught.value)


@pytest.mark.parametrize("tag", ["ghp_" + "a1B2" * 9, PLANTED["WANDB_API_KEY"]])
def test_tag_that_is_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch, tag: str) -> None:
    monkeypatch.setenv("WANDB_API_KEY", PLANTED["WANDB_API_KEY"])
    with pytest.raises(SettingError, match=r"tracking\.tags\[0\]=.*: contains a secret") as caught:
        schema.validate(compose(f"tracking.tags=[{tag}]"))
    assert tag not in str(caught.value)


LETTERS = string.ascii_letters + string.digits


def random_secrets(draw: random.Random) -> list[str]:
    """One secret of each format that can be recognized without its name."""

    def letters(count: int, alphabet: str = LETTERS) -> str:
        return "".join(draw.choices(alphabet, k=count))

    return [
        *(f"{kind}_{letters(36)}" for kind in ("ghp", "gho", "ghs", "hf")),
        *(f"github_pat_{letters(22)}_{letters(40)}", f"glpat-{letters(20)}", f"sk-{letters(40)}"),
        *(f"sk-ant-api03-{letters(60)}", f"sk-proj-{letters(48)}", f"AKIA{letters(16, string.ascii_uppercase)}"),
        *(f"AIza{letters(35)}", f"xoxb-{letters(12, string.digits)}-{letters(24)}", f"npm_{letters(36)}"),
        *(f"pypi-{letters(60)}", f"dapi{letters(32, '0123456789abcdef')}"),
        f"eyJ{letters(20)}.eyJ{letters(30)}.{letters(43)}",
    ]


def test_random_secrets_of_every_format_are_redacted_in_every_context(tmp_path: Path) -> None:
    """Seeded; the contexts are those of shells, YAML, JSON, Python, logs and diffs."""
    draw = random.Random(0)
    by_format = ("{}", "x={}", "'{}'", 'see "{}", please', "+token: {}", "https://{}@host/x", "https://me:{}@host/x")
    by_format += ("[{}]", "a\n{}\nb", "({})", "Authorization: Bearer {}")
    names = (
        "MY_API_KEY",
        "api_key",
        "dbPassword",
        "PGPASSWORD",
        "SSHPASS",
        "X_PWD",
        "GH_PAT",
        "client_secret",
        "A_KEYS",
    )
    by_name = ("{}={}", "+hydra.job.env_set.{}={}", "hydra.launcher.setup=[export {}={}]", "{}: {}", "+    {}: '{}'")
    by_name += (
        '  "{}": "{}",',
        '{} = "{}"',
        "- export {}={} ; run",
        "'{}': '{}'",
        "--{}={}",
        "a:\n  {}: {}",
        "--x={}={}",
    )
    leaked = []
    for _ in range(FUZZ_CASES // 40):
        for secret in random_secrets(draw):
            text = draw.choice(by_format).format(secret)
            leaked += [text] if secret in redact(text) else []
        for name in names:
            secret = "".join(draw.choices(LETTERS + "+/-._~", k=draw.randrange(8, 40)))
            secret = draw.choice(LETTERS) + secret
            text = draw.choice(by_name).format(name, secret)
            leaked += [text] if secret in redact(text) else []
            write_json(tmp_path / "x.json", {"of": [{name: secret}, text]})
            leaked += [f"JSON of {text}"] if secret in (tmp_path / "x.json").read_text() else []
    assert leaked == []


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
        file.write("# changed: " + " ".join(PLANTED.values()) + f" https://me:{OF_THE_ADDRESS}@example.org")
        file.write(f" https://{OF_THE_ADDRESS}@example.org\n")
    (place / "semisup" / "added.py").write_text(f'KEY = "{PLANTED["HF_TOKEN"]}"\nNEW = 1\n')
    (place / "home").mkdir()
    (place / "conf" / "experiment" / "added.yaml").write_text(f"# @package _global_\nmirror:\n  api_key: {IN_YAML}\n")
    words = [
        *("train", "-m", "seed=0", "train.steps=4", "model.widths=[4,8]", "plots=false", "method=supervised"),
        *("sweep.control=false", "tracking.thumbnails=0", f"tracking.tags=[{PLANTED['HF_TOKEN'][:6]}]"),
        *(f"+hydra.job.env_set.{name}={value}" for name, value in TYPED.items()),
        "hydra.output_subdir=.hydra",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "semisup", *words],
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


def test_planted_secrets_are_in_no_file_of_a_sweep(checkout: Path) -> None:
    kinds = {"the environment": list(PLANTED.values()), "the address of the git remote": [OF_THE_ADDRESS]}
    kinds |= {"the command line": [*TYPED.values()], "a new YAML": [IN_YAML]}
    kinds["the first two, as base64"] = [
        base64.b64encode(text.encode()).decode().rstrip("=")
        for text in (*PLANTED.values(), f"api:{PLANTED['WANDB_API_KEY']}", f"me:{OF_THE_ADDRESS}")
    ]
    files = [path for name in ("outputs", "home", ".hydra") for path in (checkout / name).rglob("*") if path.is_file()]
    expected = {"config.yaml", "run.json", "git.diff", "plan.json", "debug.log", "hydra.yaml", "overrides.yaml"}
    assert expected <= {path.name for path in files}
    assert [path for path in files if path.suffix == ".wandb"]
    content = {path: path.read_bytes() for path in files}
    found = {
        kind: sorted({str(path) for path in files for text in texts if text.encode() in content[path]})
        for kind, texts in kinds.items()
    }
    rows = [[kind, len(kinds[kind]), len(places)] for kind, places in found.items()]
    report(
        *("g-secrets", "Secrets"),
        "The test puts secrets into the environment, the address of the git remote, the command, a YAML file and\n"
        "uncommitted changes of the code. Then it searches all files of the run, of W&B and of the home folder for\n"
        "these secrets (`tests/runtime/test_secrets.py`).",
        *(["planted in", "secrets", "found"], rows),
    )
    assert not any(found.values()), found


def test_uncommitted_changes_are_saved_without_their_secrets(checkout: Path) -> None:
    (path,) = (checkout / "outputs").glob("*/*/git.diff")
    text = path.read_text()
    assert "+# changed: [WANDB_API_KEY] [HF_TOKEN] [AWS_SECRET_ACCESS_KEY] [DATABASE_PASSWORD] [PGPASSWORD]" in text
    assert "https://[hidden]@example.org https://[hidden]@example.org" in text
    assert "+  api_key: [hidden]" in text
    assert "diff: semisup/added.py is new" in text
    assert "+NEW = 1" in text


def test_uncommitted_changes_need_not_be_unicode(tmp_path: Path) -> None:
    from semisup.record.environment import run_git

    git(tmp_path, "init", "--quiet")
    (tmp_path / "words.txt").write_bytes(b"plain\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "--quiet", "--message=one")
    (tmp_path / "words.txt").write_bytes("café\n".encode("latin-1"))
    assert "+caf\\xe9" in run_git(tmp_path, "diff", "HEAD")


def test_changes_outside_the_package_give_no_diff(monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup.record import environment

    monkeypatch.setattr(environment, "_git", lambda: {"dirty": True})
    monkeypatch.setattr(environment, "run_git", lambda *_: "")
    assert git_diff.__wrapped__() is None


def test_large_diff_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup.record import environment

    monkeypatch.setattr(environment, "_git", lambda: {"dirty": True})
    monkeypatch.setattr(
        environment, "run_git", lambda _, first, *rest: "x" * 2 * LARGEST_DIFF if first == "diff" else ""
    )
    text = git_diff.__wrapped__()
    assert text is not None
    assert len(text) < LARGEST_DIFF + 100
    assert text.endswith(f"cut at {LARGEST_DIFF} characters\n")
