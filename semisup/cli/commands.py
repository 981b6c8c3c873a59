"""Parse the command line of `semisup`, run the command, and return its exit status. Does not import torch."""

import argparse
import importlib
import io
import os
import select
import sys
from pathlib import Path
from typing import NoReturn

from semisup import __version__
from semisup.runtime.devnull import redirect_to_devnull
from semisup.runtime.warning_lines import short_warnings

ABOUT = """\
Train image classifiers on few labeled and many unlabeled images (pseudo-labeling), sweep the confidence
threshold and the augmentation strength, and compare every run with a compute-matched supervised control.

  semisup train threshold.tau=0.9 augment.strength=0.5           one run on the built-in digits
  semisup train -m threshold.tau=0.8,0.95 seed=0,1,2             a sweep
  semisup compare outputs/runs                                   table, CSV, report.html
  semisup advise outputs/runs                                    what the numbers support, and what to do
  semisup confirm outputs/runs                                   repeat the best setting with new seeds
  semisup show outputs/runs/RUN                                  settings and results of one run
  semisup reproduce outputs/runs/RUN                             run it again and compare every metric
  semisup predict outputs/runs/RUN images/                       CSV: path, class, confidence
  semisup label outputs/runs/RUN                                 images to label next, labels that look wrong
  semisup export outputs/runs/RUN                                ONNX model with a model card
  semisup track outputs/runs                                     upload finished runs to W&B
  semisup disk outputs                                           disk usage; --clean deletes what can be made again

RUN is the folder of one run; the command compare names the best one. The flag --help explains each command,
and train --help threshold=flexmatch (or another option or key) explains settings.

TAB completion: eval "$(semisup -sc install=bash)", or install=zsh; semisup -sc install=fish | source
"""

COMMANDS = {
    "train": "train one run, or a sweep of runs (-m)",
    "compare": "compare the runs of one or several folders",
    "advise": "print what the runs of a folder support, with numbers, and what to do",
    "confirm": "repeat the best setting of a sweep with new seeds",
    "show": "show the settings and results of one run",
    "reproduce": "run a saved config again and compare every metric",
    "label": "write pseudo-labels, images to label next and labels that look wrong",
    "predict": "classify images with a run's best model",
    "export": "write a run's best model as ONNX, torch.export or safetensors",
    "track": "upload recorded runs to W&B",
    "disk": "list how much disk space runs and caches take, and delete what can be created again",
}
"""Name and description of each command; its module in semisup/cli/ has the same name."""

BROKEN_PIPE_STATUS = 128 + 13  # SIGPIPE, which Windows lacks
"""The exit status if the reader of the output has closed the pipe, as in `semisup compare ... | head -1`."""


def run_command_line(words: list[str]) -> int:
    """Run a command of `semisup` and return the exit status.

    Args:
        words: the command line without the program's name, such as ["show", "outputs/runs/RUN"].
    """
    _open_missing_streams()
    short_warnings()
    os.environ["MPLBACKEND"] = "agg"  # plots are files; a notebook names its own backend here for `!semisup ...`
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a name that the terminal cannot show is escaped
    status = 1
    try:
        try:
            status = _run_command(words)
            return status
        finally:
            _flush_output(report=status == 0)  # here and not at exit, where Python would report a closed pipe
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        redirect_to_devnull(1)  # for what is still to be flushed
        return BROKEN_PIPE_STATUS


def _open_missing_streams() -> None:
    """Connect standard streams that the shell has closed (`>&-`) to /dev/null."""
    # otherwise the next opened file would get the descriptor of a standard stream, and prints would go into that file
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest free descriptor, which is this one
            if descriptor > 0:
                redirect_to_devnull(descriptor)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if descriptor == 0 else "w", closefd=False))


def _flush_output(*, report: bool) -> None:
    """Flush standard output; if this fails, for example because the disk is full, discard the output.

    Args:
        report: whether to print an error message about the failure.

    Raises:
        BrokenPipeError: the reader of the output has closed the pipe.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        redirect_to_devnull(1)
        if report:
            print(f"semisup: standard output cannot be written: {error.strerror}", file=sys.stderr)


def _stdout_is_closed() -> bool:
    """Whether the reader of standard output has closed the pipe; True on Windows, where this cannot be tested."""
    if not hasattr(select, "poll"):  # on Windows, any broken pipe is taken for standard output
        return True
    output = select.poll()
    output.register(1, 0)  # POLLERR is reported without being requested
    return any(event & select.POLLERR for _, event in output.poll(0))


def _run_command(words: list[str]) -> int:
    from semisup.cli.completion import complete, is_completion

    if is_completion(words):
        return complete(words, COMMANDS)
    if words[:1] == ["train"]:
        from semisup.cli.train import train_command

        return train_command(words[1:])
    if words[:1] == ["_sweep-worker"]:  # started by a sweep
        from semisup.sweep.worker import run_worker

        return run_worker()
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        print(f"semisup: {_unknown_command(words)}", file=sys.stderr)
        return 2
    parser, arguments, rest = _parse(words)
    if hasattr(arguments, "paths") and not any(word.startswith("-") for word in rest):
        arguments.paths += map(Path, rest)  # paths after a flag: argparse collects only those before it
        rest = []
    if rest and not (hasattr(arguments, "settings") and all("=" in word and word[0] != "-" for word in rest)):
        getattr(arguments, "parser", parser).error(f"unrecognized arguments: {' '.join(rest)}")
    if arguments.command is None:
        parser.print_help()
        return 2
    if rest:
        arguments.settings += rest  # settings after a flag: argparse collects only those before it
    return _report_user_errors(arguments)


def _unknown_command(words: list[str]) -> str:
    """Write the error message for a command that does not exist, with a suggestion of what to type.

    Args:
        words: the command line without the program's name.
    """
    import shlex

    from semisup.errors import closest_match
    from semisup.text import printable

    name, rest = words[0], words[1:]
    if "=" in name:
        return (
            f"{printable(name)}: no command is given; type {printable(shlex.join(['semisup', 'train', *words]), 2000)}"
        )
    if nearest := closest_match(name, COMMANDS):
        return f"{printable(name)}: no such command; type {printable(shlex.join(['semisup', nearest, *rest]), 2000)}"
    return f"{printable(name)}: no such command; type semisup with one of {', '.join(COMMANDS)}"


def _parse(words: list[str]) -> tuple[argparse.ArgumentParser, argparse.Namespace, list[str]]:
    """Parse the command line of any command except `train`, which Hydra parses.

    Returns:
        The parser, the parsed arguments, and the words that the parser does not know.
    """
    parser = _Parser("semisup", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"semisup {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, add_help=name != "train")
        if name != "train":
            importlib.import_module(f"semisup.cli.{name}").add_arguments(command)
            command.set_defaults(parser=command)  # whose usage an error prints
    return parser, *parser.parse_known_args(words)


class _Parser(argparse.ArgumentParser):
    """Parser that says what a missing argument is: the word to type, and its help."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("the following arguments are required: "):
            missing = message.partition(": ")[2].split(", ")
            matches = [action for action in self._get_positional_actions() if str(action.metavar) in missing]
            if self._defaults.get("parser") is self and matches:
                words = " ".join(str(action.metavar) for action in matches)
                about = "; ".join(f"{action.metavar} is {action.help}" for action in matches)
                message = f"type {self.prog} {words}, where {about}"
        super().error(message)


def _report_user_errors(arguments: argparse.Namespace) -> int:
    """Run a command. If it raises an error that the user caused, print one line and return exit status 2."""
    from semisup.errors import DataError, MissingPackageError, RecordError, SettingError

    try:
        status = arguments.run_command(arguments)
    except (SettingError, DataError, RecordError, MissingPackageError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _stdout_is_closed():
            raise
        from semisup.text import printable

        print(f"semisup {arguments.command}: {printable(error, 2000)}", file=sys.stderr)
        return 2
    assert isinstance(status, int)
    return status
