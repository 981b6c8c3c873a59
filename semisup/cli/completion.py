"""Shell completion: `semisup -sc install=SHELL` prints a script, which calls `semisup -sc query=SHELL` on TAB.

This module completes the names of the commands. Hydra completes the settings of `semisup train`, and the shell
completes file names.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path

FLAGS = ("-sc", "--shell-completion")
ZSH_SETUP = "autoload -Uz bashcompinit && bashcompinit"  # Hydra's script for zsh is the one for bash


def is_completion(words: list[str]) -> bool:
    """Whether a command line is a request for shell completion: `semisup -sc ...` or `semisup train -sc ...`."""
    return words[:1] != [] and (words[0] in FLAGS or (words[0] == "train" and any(word in FLAGS for word in words)))


def complete(words: list[str], commands: Iterable[str]) -> int:
    """Answer a request for shell completion.

    Args:
        words: the command line. If it ends with `install=SHELL`, the script that installs TAB completion is printed. If
            it ends with `query=SHELL`, completions for the last word of the environment variable COMP_LINE are printed.
        commands: names of the commands of `semisup`.

    Returns:
        The exit status: 0, or 2 if the request is not valid.
    """
    action, _, shell = words[-1].partition("=")
    if action not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        usage = "semisup -sc install=bash (or zsh, fish), uninstall=bash"
        print(f"semisup: {' '.join(words)}: not a request for shell completion; type {usage}", file=sys.stderr)
        return 2
    if action == "query":
        _print_candidates(os.environ.get("COMP_LINE", ""), shell, commands)
        return 0
    script = _run_hydra(f"{action}={shell}").replace("semisup train", "semisup")
    if shell == "zsh" and action == "install":
        print(ZSH_SETUP)
    print(script, end="")
    return 0


def _print_candidates(line: str, shell: str, commands: Iterable[str]) -> None:
    words = line.split()
    if line.endswith(" ") or not words:
        words.append("")
    if len(words) <= 2:
        print("\n".join(name for name in commands if name.startswith(words[-1] if len(words) == 2 else "")))
    elif words[1] == "train":
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])  # Hydra completes what follows the program's name
        with (
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.suppress(Exception),
        ):  # a terminal shows errors on TAB
            print(_run_hydra(f"query={shell}"), end="")
    elif shell == "fish":  # whose script allows no other completion
        folder, _, prefix = words[-1].rpartition("/")
        with contextlib.suppress(OSError):
            for path in sorted(Path(folder or ("/" if words[-1].startswith("/") else ".")).iterdir()):
                if path.name.startswith(prefix):
                    print(f"{words[-1][: len(words[-1]) - len(prefix)]}{path.name}{'/' if path.is_dir() else ''}")


def _run_hydra(request: str) -> str:
    """Run Hydra's shell completion of `semisup train`, and return its output.

    Args:
        request: such as `install=bash` or `query=bash`.
    """
    from semisup.sweep.hydra_run import run_hydra

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        run_hydra(["-sc", request])
    return output.getvalue()
