"""`semisup show RUN`: what a run was, how it went and where its files are, in the terminal; and the run's report.html.

That page is all that is written into the run's folder, and nothing is read from it.
"""

import argparse
from pathlib import Path

from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.text import shell_quote

EPILOG = """\
writes into RUN, which it changes in nothing else (where it may not write, it says so):
  report.html      one page that needs neither server nor network: settings, curves, pseudo-labels by round (gained,
                   lost, flipped), by class, as thumbnails, what other thresholds would keep, confusion and surest
                   mistakes

example:
  semisup show outputs/runs/RUN
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What follows `semisup show`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Say what a run was, how it went and where its files are; write report.html beside them."
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, as in outputs/NAME/RUN")
    parser.set_defaults(run_command=show_command)


def show_command(arguments: argparse.Namespace) -> int:
    """`show`, on this process's standard output."""
    from semisup.analysis.runs import read_run
    from semisup.report.console import terminal
    from semisup.report.files import run_report
    from semisup.report.run_summary import show_run

    console = terminal(highlight=False, soft_wrap=True)
    status = show_run(arguments.run, console)
    path = arguments.run / "report.html"
    content, problem = run_report(read_run(arguments.run))
    if content is None:
        console.print(problem, markup=False)
        return status
    try:
        write_atomically(path, content)
    except OSError as error:
        console.print(f"no report: {shell_quote(path)} cannot be written: {error.strerror}", markup=False)
    else:
        console.print(f"report: {shell_quote(path)}", markup=False)
    return status
