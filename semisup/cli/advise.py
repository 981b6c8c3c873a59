"""`semisup advise FOLDER`: print advice that is justified by the recorded results of a sweep.

For each advice, the command to follow it is printed, too.
"""

import argparse
from collections import Counter
from pathlib import Path

DESCRIPTION = """\
Print plain sentences about the finished runs of a sweep, each with its numbers and with what to do: whether labels
alone do as well as pseudo-labels, whether the unlabeled set contains images that belong to none of the classes, whether
the selected pseudo-labels concentrate on few classes, whether the validation set distinguishes the settings, and
whether more labels would help more. A sentence is printed only if the numbers support it; the last line names the other
checks. docs/advice.md has the rule of each sentence. The command reads the runs, and trains and writes nothing.
"""
EPILOG = """\
example:
  semisup train -m threshold.tau=0.8,0.95 seed=0,1,2 name=mine
  semisup advise outputs/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup advise`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an experiment (outputs/NAME), a run, or outputs")
    parser.set_defaults(run_command=advise_command)


def advise_command(arguments: argparse.Namespace) -> int:
    """Print the advice for the runs in a folder, and return the exit status.

    Raises:
        DataError: the folder is missing, or contains no finished run.
    """
    from semisup.report.console import safe_print

    safe_print(*advice_lines(arguments.folder))
    return 0


def advice_lines(folder: Path) -> list[str]:
    """Write the advice for the runs in a folder, as lines.

    Raises:
        DataError: the folder is missing, or contains no finished run.
    """
    from semisup.analysis.advice.case import split_cases
    from semisup.analysis.advice.checks import advise
    from semisup.analysis.confirmation import is_confirmation
    from semisup.analysis.datasets import split_experiments
    from semisup.analysis.runs import find_runs, read_runs
    from semisup.cli._advice_commands import commands_for, halving_commands
    from semisup.errors import DataError
    from semisup.report.advice import finding_text, without_text
    from semisup.text import escape, shell_quote

    runs = read_runs(find_runs([folder]))
    groups = split_experiments(runs, [folder])
    several = len(groups) > 1
    if several:  # a confirmation is part of the advice about its sweep
        groups = [(place, own) for place, own in groups if not is_confirmation(place)] or groups
    cases = [case for place, own in groups for case in split_cases(own, place if several else folder)]
    if not cases:
        counts = Counter("without an accuracy (train.refit)" if run.done else str(run.status) for run in runs)
        statuses = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        raise DataError(
            f"{escape(folder)}: no run with an accuracy is finished ({statuses}); type the train command again to "
            "finish the runs"
        )
    lines: list[str] = []
    for case in cases:
        advice = advise(case)
        names = [shell_quote(case.folder)] * several + [case.label] * (not case.alone)
        lines += [*([""] if lines else []), f"{', '.join(names)}:"] if names else []
        for number, finding in enumerate(advice.findings, 1):
            lines += [f"{number}. {finding_text(finding)}", *(f"   {line}" for line in commands_for(finding, case))]
        lines += [without_text(advice.without)] if advice.without else []
        lines += halving_commands(advice, case)
    if unfinished := sum(not run.done for run in runs):
        lines.append(f"Not used: {unfinished} of {len(runs)} runs, which are not finished.")
    return lines
