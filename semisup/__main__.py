"""The words a user types. Each hands over to one function; torch is not imported before it is needed."""

import argparse
import io
import select
import signal
import sys

from semisup import __version__
from semisup.runtime.atomic_files import redirect_to_devnull

ABOUT = """\
semisup trains image classifiers on few labels and many unlabeled images (pseudo-labels), sweeps the
confidence threshold and the augmentation strength, and compares the runs with their fair control.

  semisup train threshold.tau=0.9 augment.strength=0.5           one run on the built-in digits
  semisup train -m threshold.tau=0.8,0.95 seed=0,1,2             a sweep
  semisup compare outputs/runs                                   table, CSV, report.html
  semisup confirm outputs/runs                                   the chosen cell again, with fresh seeds
  semisup show outputs/runs/RUN                                  what it was and how it went
  semisup reproduce outputs/runs/RUN                             runs it again: identical, or where it differs
  semisup predict outputs/runs/RUN images/                       CSV: path, class, confidence
  semisup track outputs/runs                                     in W&B, from the runs' own records
"""


BROKEN_PIPE_STATUS = 128 + signal.SIGPIPE
"""The exit status where the reader of our output is gone, as of `semisup compare ... | head -1`."""


def main() -> int:
    """The console script; returns the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr is: a name that a terminal lacks ends no command
    try:
        try:
            return _run_command(sys.argv[1:])
        finally:
            sys.stdout.flush()  # here and not at exit, where Python would complain of a reader that is gone
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        redirect_to_devnull(1)  # takes what is still to be flushed
        return BROKEN_PIPE_STATUS


def _stdout_is_closed() -> bool:
    """Whether it is our output, and no other pipe, that broke."""
    output = select.poll()
    output.register(1, 0)  # of an error it tells unasked
    return any(event & select.POLLERR for _, event in output.poll(0))


def _run_command(words: list[str]) -> int:
    if words[:1] == ["train"]:
        from semisup.cli.train import train_command

        return train_command(words[1:])
    parser = argparse.ArgumentParser("semisup", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"semisup {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("train", help="train one run, or sweep many (-m)", add_help=False)
    from semisup.cli import compare, confirm, predict, reproduce, show, track

    compare.add_arguments(commands.add_parser("compare", help="compare the runs of one or several folders"))
    confirm.add_arguments(commands.add_parser("confirm", help="repeat the chosen cell of a sweep with fresh seeds"))
    show.add_arguments(commands.add_parser("show", help="say what one run was and how it went"))
    reproduce.add_arguments(commands.add_parser("reproduce", help="run a saved config again; identical or not"))
    predict.add_arguments(commands.add_parser("predict", help="classify a folder of images with a run's best model"))
    track.add_arguments(commands.add_parser("track", help="show runs in W&B from their own records"))
    arguments, rest = parser.parse_known_args(words)
    if rest and not (hasattr(arguments, "settings") and all("=" in word and word[0] != "-" for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if arguments.command is None:
        parser.print_help()
        return 2
    if rest:
        arguments.settings += rest  # those after a flag: argparse sees only those before
    return _report_user_errors(arguments)


def _report_user_errors(arguments: argparse.Namespace) -> int:
    """Errors of the user as one line and exit status 2."""
    from semisup.errors import DataError, RecordError, SettingError

    try:
        status = arguments.run_command(arguments)
    except (SettingError, DataError, RecordError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _stdout_is_closed():
            raise
        from semisup.runtime.text import printable

        print(f"semisup {arguments.command}: {printable(error, 2000)}", file=sys.stderr)
        return 2
    assert isinstance(status, int)
    return status


if __name__ == "__main__":
    sys.exit(main())
