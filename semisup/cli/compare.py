"""`semisup compare FOLDER...`: compare runs with each other and with their controls (runs without unlabeled images).

The command prints a summary and tables, and writes comparison.csv, comparison.json, comparison.png and report.html into
the first folder.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from semisup.errors import RecordError
from semisup.runtime.atomic_files import write_atomically
from semisup.text import shell_quote

if TYPE_CHECKING:
    from rich.console import Console

    from semisup.analysis.comparison import Comparison

DESCRIPTION = """\
Compare finished and unfinished runs.

FOLDER is an experiment (outputs/NAME), one run (outputs/NAME/RUN) or outputs, whose experiments are then compared
separately. The runs of several FOLDERs are compared with each other; runs of several data sets, for each data set.
The settings that differ between the runs become the columns. Runs that differ only in the seed, or in seed and fold,
are one row, with mean and sample standard deviation over these.

Each run is compared with its control (supervised only, with the same augmentation, model and number of optimizer
steps) and with a baseline (supervised only, without augmentation, for the labeled steps alone). The gain over the
control is the effect of the unlabeled images; the gain over the baseline adds that of augmentation and longer
training. Rows are sorted by the validation metric of train.select_by; nothing is selected on the test set.
"""
EPILOG = """\
writes into the first FOLDER (into its parent, if it is one run):
  comparison.csv   one line for each run: settings that differ, metrics, control, baseline, gains, status and reason
  comparison.json  the same, with the rows over seeds and the summary sentence
  comparison.png   heat map of threshold and strength, or of the two settings that vary most, or a ranking of the rows
  report.html      one page that needs neither server nor network: heat map, curves, confusion matrix and most
                   confident errors of the best run, and tables to sort and filter with the command of every run

example:
  semisup train -m threshold.tau=0.8,0.95 augment.strength=0.25,0.5 seed=0,1,2 name=mine
  semisup compare outputs/mine
"""


MIXED_DATA = "gains and ranks compare runs on different data; train the older runs again under another name="


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup compare`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="an experiment, a run, or outputs")
    track = (
        "also upload the comparison to W&B, into the group of its runs, and these runs again with their gains "
        "(offline unless tracking.mode=online)"
    )
    parser.add_argument("--track", nargs="*", metavar="tracking.KEY=VALUE", help=track)
    parser.set_defaults(run_command=compare_command)


def compare_command(arguments: argparse.Namespace) -> int:
    """Compare runs, print the comparison on standard output, and return the exit status."""
    from semisup.report.console import terminal

    return compare(arguments.folders, terminal(), arguments.track)


def compare(
    folders: list[Path],
    console: "Console",
    track: list[str] | None = None,
) -> int:
    """Read runs, print their comparison and write its files.

    Args:
        folders: folders of runs; the files are written into the first one.
        console: terminal on which the comparison is printed.
        track: settings of the tracker, as `tracking.KEY=VALUE`; None = upload nothing.

    Returns:
        The exit status 0.

    Raises:
        DataError: a folder is missing or contains no run.
        RecordError: the files cannot be written; the tables are printed before the error.
        SettingError: a word of `track` is not a valid setting.
    """
    from semisup.analysis.confirmation import confirmed_sweep, is_confirmation
    from semisup.analysis.datasets import changed_datasets, compare_experiments
    from semisup.analysis.runs import find_runs, is_run, read_runs
    from semisup.cli._next_commands import hints, next_commands
    from semisup.report.files import comparison_files
    from semisup.report.terminal_tables import comparison_tables
    from semisup.report.wording import summary_sentence

    comparisons = compare_experiments(read_runs(find_runs(folders)), folders)
    summaries = [(each, summary_sentence(each, each.experiment or folders[0])) for each in comparisons]
    upload = _prepare_upload(summaries, folders, track) if track is not None else lambda _: []
    for comparison, sentence in summaries:
        console.print()
        console.print(sentence, markup=False, highlight=False)
        for table in comparison_tables(comparison, console):
            console.print(table)
        if len(comparisons) > 1:
            _print_lines(next_commands(comparison, comparison.experiment or folders[0]), console)
    destination = folders[0].resolve().parent if is_run(folders[0]) else folders[0]
    contents, problems = comparison_files(summaries, destination)
    for name, content in contents.items():
        _write(destination / name, content)
    tracked = upload(destination)
    notes = [line for comparison in comparisons for line in hints(comparison)]
    notes += [
        f"{name} changed between these runs (data set fingerprints differ): {MIXED_DATA}"
        for comparison in comparisons
        for name in changed_datasets(comparison.runs)
    ]
    notes += problems
    lines = [*dict.fromkeys(notes), *([""] if notes else [])]
    lines += [*(f"wrote {shell_quote(destination / name)}" for name in contents), *tracked]
    lines += next_commands(comparisons[0], folders[0] if len(folders) == 1 else None) if len(comparisons) == 1 else []
    if len(folders) == 1 and any(comparison.best for comparison in comparisons):
        advised = confirmed_sweep(folders[0]) or folders[0]
        lines.append(f"what the numbers support: semisup advise {shell_quote(advised)}")
    experiments = dict.fromkeys(each.experiment for each in comparisons if each.experiment is not None)
    if len(folders) == 1 and len(two := [each for each in experiments if not is_confirmation(each)][:2]) == 2:
        typed = " ".join(shell_quote(folder) for folder in two)
        lines.append(f"each experiment is compared separately; in one table: semisup compare {typed}")
    _print_lines(lines, console)
    return 0


def _print_lines(lines: list[str], console: "Console") -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _prepare_upload(
    summaries: "list[tuple[Comparison, str]]", folders: list[Path], track: list[str]
) -> Callable[[Path], list[str]]:
    """Validate the tracker settings, and return a function that uploads the comparisons to W&B.

    Args:
        summaries: each comparison with its summary sentence.
        folders: the folders of runs that the user gave.
        track: settings of the tracker, as `tracking.KEY=VALUE`.

    Returns:
        A function that uploads the comparisons and returns lines to print. Its argument is the folder that contains
        the files of the comparison.

    Raises:
        SettingError: a word of `track` is not a valid setting.
    """
    from semisup.cli.track import upload as upload_run
    from semisup.report.wandb_report import default_location, gain_values, upload_comparison, wandb_settings
    from semisup.runtime.warning_lines import short_warnings

    readable = [each for each in summaries if any(run.identity for run in each[0].runs)] or summaries
    trackers = [wandb_settings(comparison, folders, track) for comparison, _ in readable]

    def upload(destination: Path) -> list[str]:
        short_warnings()
        for (settings, identity), (comparison, sentence) in zip(trackers, readable, strict=True):
            upload_comparison(settings.open(identity), comparison, sentence, destination)
        lines = [line for _, identity in trackers for line in default_location(identity)]
        sent = [
            upload_run(Path(folder), settings, gains)
            for (settings, _), (comparison, _) in zip(trackers, readable, strict=True)
            for folder, gains in gain_values(comparison).items()
        ]
        if sent and lines:
            lines.append(
                f"{sum(sent)} of {len(sent)} runs uploaded again, with their gains; in W&B, sort them by setting/rank"
            )
        return lines

    return upload


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise RecordError(f"{shell_quote(path)}: cannot be written: {error.strerror}") from None
