"""`semisup show RUN`: one run's record in the terminal: what it was, how it went, where its files are."""

import argparse
import io
import sys
from pathlib import Path

EPILOG = """\
example:
  semisup show outputs/runs/RUN
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What follows `semisup show`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Say what a run was, how it went and where its files are."
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, as in outputs/NAME/RUN")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """`show`, on this process's standard output."""
    from rich.console import Console

    from semisup.commands._one_run import show_run

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return show_run(arguments.run, Console(highlight=False, soft_wrap=True))
