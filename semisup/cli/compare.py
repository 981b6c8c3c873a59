"""`semisup compare FOLDER...`: compare runs with each other and with their controls.

The command prints a summary and tables, and writes comparison.csv, comparison.json, comparison.png and report.html into
the first folder. Failed and unfinished runs are listed too.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from semisup.errors import RecordError
from semisup.record.status import RECORDED_STATUSES
from semisup.runtime.atomic_files import write_atomically
from semisup.text import shell_quote

if TYPE_CHECKING:
    from rich.console import Console

    from semisup.analysis.comparison import Comparison

DESCRIPTION = """\
Compare finished and unfinished runs.

FOLDER is an experiment (outputs/NAME), one run (outputs/NAME/RUN) or outputs itself; runs of several data sets are
compared for each data set. The settings that differ between the runs become the columns. Runs that differ only in the
seed, or in seed and fold, are one row, with mean and sample standard deviation over these.

Each run is compared with its control (supervised only, with the same augmentation, model and number of optimizer
steps) and with a baseline (supervised only, without augmentation, for the labeled steps alone). The gain over the
control is the effect of the unlabeled images; the gain over the baseline adds that of augmentation and longer
training. Rows are sorted by validation accuracy; nothing is selected on the test set.
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


MIXED_DATA = "gains and ranks mix them; train the older runs again under another name="


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


def compare(folders: list[Path], console: "Console", track: list[str] | None = None) -> int:
    """Read the runs, print the comparison and write its files.

    Args:
        track: settings of the tracker, as `tracking.KEY=VALUE`; None = upload nothing.

    Returns:
        0, also if runs failed.

    Raises:
        DataError: a folder is missing or contains no run.
        RecordError: the files cannot be written; the tables are printed before the error.
        SettingError: a word of `track` is not a valid setting.
    """
    from semisup.analysis.datasets import changed_datasets, compare_by_dataset
    from semisup.analysis.runs import find_runs, is_run, read_runs
    from semisup.report.files import comparison_files
    from semisup.report.terminal_tables import comparison_tables
    from semisup.report.wording import summary_sentence

    runs = read_runs(find_runs(folders))
    summaries = [(comparison, summary_sentence(comparison, folders[0])) for comparison in compare_by_dataset(runs)]
    upload = _prepare_upload(summaries, folders, track) if track is not None else lambda _: []
    for comparison, sentence in summaries:
        console.print()
        console.print(sentence, markup=False, highlight=False)
        for table in comparison_tables(comparison, console):
            console.print(table)
    destination = folders[0].resolve().parent if is_run(folders[0]) else folders[0]
    comparisons = [comparison for comparison, _ in summaries]
    contents, problems = comparison_files(summaries, destination)
    for name, content in contents.items():
        _write(destination / name, content)
    tracked = upload(destination)
    hints = [line for comparison in comparisons for line in _hints(comparison)]
    hints += [
        f"{name} changed between these runs (data set fingerprints differ): {MIXED_DATA}"
        for name in changed_datasets(runs)
    ]
    hints += problems
    lines = [*dict.fromkeys(hints), *([""] if hints else [])]
    lines += [*(f"wrote {shell_quote(destination / name)}" for name in contents), *tracked]
    lines += [line for comparison in comparisons for line in _next_commands(comparison)]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _prepare_upload(
    summaries: "list[tuple[Comparison, str]]", folders: list[Path], track: list[str]
) -> Callable[[Path], list[str]]:
    """Validate the tracker settings, and return a function that uploads the comparisons.

    Returns:
        A function that takes the folder of the written files, and returns lines that tell the user where the comparison
        is in W&B.

    Raises:
        SettingError: a word of `track` is not a valid setting.
    """
    from semisup.cli.track import upload as upload_run
    from semisup.report.console import short_warnings
    from semisup.report.wandb_report import default_location, gain_values, upload_comparison, wandb_settings

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
            lines.append(f"{sum(sent)} of {len(sent)} runs uploaded again, with their gains: sort by setting/rank")
        return lines

    return upload


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise RecordError(f"{shell_quote(path)}: cannot be written: {error.strerror}") from None


def _hints(comparison: "Comparison") -> list[str]:
    """List hints for the user: how to train missing controls, and how to continue unfinished runs."""
    from semisup.analysis.gains import BASELINE, CONTROL
    from semisup.runner.reproduction import PREFIX

    pairs = comparison.references_of.items()
    without = [Path(folder) for folder, gains in pairs if not (gains[CONTROL].other and gains[BASELINE].other)]
    hints = []
    if without:
        requested = {str(run.folder) for run in comparison.runs if (run.config.get("sweep") or {}).get("control")}
        due = all(str(folder) in requested and (folder.resolve().parent / "sweeps").is_dir() for folder in without)
        how = (
            "the same train command again trains them"
            if due
            else "repeat the sweep with sweep.control=true (semisup train -m ... sweep.control=true); it reuses "
            "finished runs and trains those"
        )
        hints.append(
            f"{len(without)} of {len(pairs)} runs have no control or no baseline{' yet' if due else ''}: {how}"
        )
    if any(row.ensemble is not None and len({run.fingerprint for run in row.runs}) > 1 for row in comparison.rows):
        hints.append(
            "each seed has labeled images of its own, so that an ensemble of seeds has learned from more labels than a "
            "run (docs/statistics.md)"
        )
    if any(run.config["method"]["name"] == "noisy_student" for row in comparison.rows for run in row.runs[:1]):
        hints.append(
            "noisy_student restarts every method.refresh_every epochs; those of its control have labeled steps only, "
            "so that it restarts more often in as many steps (docs/methods.md)"
        )
    if any(run.status in RECORDED_STATUSES for run in comparison.unfinished):
        reproductions = any(str(run.name).startswith(PREFIX) for run in comparison.unfinished)
        command = "train command (for a reproduction, reproduce command)" if reproductions else "train command"
        hints.append(f"the same {command} resumes interrupted runs and retries failed ones")
    return hints


def _next_commands(comparison: "Comparison") -> list[str]:
    """List the commands that a user would type after a comparison."""
    if comparison.best is None:
        return []
    best = comparison.best.best_run
    run, images = shell_quote(best.folder), "images/"
    lines = [
        "",
        f"look at the best run:   semisup show {run}",
        f"use it on your images:  semisup predict {run} {images}",
    ]
    if best.fold is not None:
        refit = "semisup train ... train.refit=true dataset.folds=null dataset.fold=null"
        lines += [f"train it on all labels: {refit}"]
    accuracy = best.accuracy("validation") or 0.0
    references = comparison.references_of.get(str(best.folder), {}).values()
    finished = [(other.accuracy("validation") or 0.0, other) for gain in references if (other := gain.finished)]
    reference_accuracy, other = max(finished, key=lambda each: each[0], default=(0.0, best))
    if reference_accuracy > accuracy:
        lines += [
            f"but supervised training does better by validation ({reference_accuracy:.1%} against {accuracy:.1%}):",
            f"                        semisup predict {shell_quote(other.folder)} {images}",
        ]
    return lines
