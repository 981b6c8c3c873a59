"""`semisup show RUN`: print the settings, results and files of a run, and write report.html into its directory."""

import argparse
from pathlib import Path

from semisup.runtime.atomic_files import write_atomically
from semisup.text import shell_quote

EPILOG = """\
writes into RUN, where it changes nothing else:
  report.html      one page that needs neither server nor network: settings, training curves, pseudo-labels by round
                   (gained, lost, flipped), by class and as thumbnails, the images that seem to belong to no class
                   (with reject), coverage and accuracy of other thresholds, confusion matrix, most confident errors

example:
  semisup show outputs/runs/RUN
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup show`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Show the settings, results and files of a run, and write report.html into its directory."
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, outputs/NAME/RUN")
    parser.set_defaults(run_command=show_command)


def show_command(arguments: argparse.Namespace) -> int:
    """Print the settings and results of a run, write its report.html, and return the exit status."""
    from semisup.cli._best_run import require_run
    from semisup.report.console import terminal
    from semisup.report.files import run_report
    from semisup.report.run_summary import show_run

    require_run(arguments.run, "semisup show")
    console = terminal(highlight=False, soft_wrap=True)
    run = show_run(arguments.run, console)
    path = arguments.run / "report.html"
    content, problem = run_report(run)
    if content is None:
        console.print(problem, markup=False)
        return 0
    try:
        write_atomically(path, content)
    except OSError as error:
        console.print(f"no report: {shell_quote(path)} cannot be written: {error.strerror}", markup=False)
    else:
        console.print(f"report: {shell_quote(path)}", markup=False)
        if run.number("pseudo/rejected") is not None:
            console.print(f"images that do not seem to belong to a class: {shell_quote(path)}#other", markup=False)
    return 0
