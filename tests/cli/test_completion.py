"""Test TAB completion with scripts that `semisup -sc install=SHELL` prints, in a real shell in a pseudo-terminal."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Program

SETUP = 'PS1="$ "; PATH="$PWD:$PATH"; bind "set bell-style none" 2> /dev/null; eval "$(semisup -sc install={shell})"\n'


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Folder with the console script `semisup`, as pip installs it."""
    path = tmp_path / "semisup"
    path.write_text(f"#!{sys.executable}\nimport sys\nfrom semisup.__main__ import main\nsys.exit(main())\n")
    path.chmod(0o755)
    (tmp_path / "some_folder").mkdir()
    return tmp_path


def typed(script: Path, shell: list[str], text: str, expected: str) -> str:
    """Type `text` into a shell and return what the shell prints, until it contains `expected`."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(script)
        os.environ["TERM"] = "dumb"
        os.execvp(shell[0], shell)
    shown = ""

    def read_until(part: str, seconds: float) -> None:
        nonlocal shown
        deadline = time.monotonic() + seconds
        while part not in shown and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 65536).decode(errors="replace")

    os.write(terminal, (SETUP.format(shell=Path(shell[0]).name) + "echo ready$((1+1))\n").encode())
    read_until("ready2", 30)
    shown = ""
    os.write(terminal, text.encode())
    read_until(expected, 20)
    os.close(terminal)
    os.waitpid(process, 0)
    return shown


CASES = [
    ("semisup trai\t", "train"),
    ("semisup train threshold=flexm\t", "threshold=flexmatch"),
    ("semisup show some_f\t", "some_folder"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_tab_completes_in_bash(script: Path, text: str, expected: str) -> None:
    shown = typed(script, ["bash", "--norc", "-i"], text, expected)
    assert expected in shown, shown
    assert "error" not in shown.lower(), shown


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_tab_completes_in_other_shells(script: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    shown = typed(script, [shell, *(["-f"] if shell == "zsh" else ["--no-config"])], *CASES[1])
    assert CASES[1][1] in shown, shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_query_of_the_installed_script_gives_candidates(
    program: Program, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    """Run the command that the printed script contains."""
    status, installed = program("-sc", f"install={shell}")
    assert status == 0
    assert "semisup train" not in installed, "the script is for the command semisup"
    query = f"-sc query={'fish' if shell == 'fish' else 'bash'}"
    assert query in installed
    for line, expected in (
        (
            "semisup ",
            {
                "train",
                "compare",
                "advise",
                "confirm",
                "show",
                "reproduce",
                "label",
                "predict",
                "export",
                "track",
                "disk",
            },
        ),
        ("semisup tra", {"train", "track"}),
        ("semisup train threshold=flexm", {"threshold=flexmatch"}),
        ("/usr/bin/semisup train threshold=flexm", {"threshold=flexmatch"}),
        ("semisup train threshold=fixed train.batch", {"train.batch_size="}),
    ):
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        status, shown = program(*query.split())
        assert status == 0
        assert set(shown.split()) == expected, (line, shown)


def test_scripts_of_bash_and_fish_are_valid(program: Program) -> None:
    for shell in ("bash", "fish"):
        if shutil.which(shell) is not None:
            _, installed = program("-sc", f"install={shell}")
            subprocess.run([shell, "-n"], input=installed, text=True, check=True, timeout=30)


def test_unknown_completion_request_is_one_line(program: Program) -> None:
    status, shown = program("-sc", "install=cmd")
    assert status == 2
    assert "type semisup -sc install=bash (or zsh, fish)" in shown
