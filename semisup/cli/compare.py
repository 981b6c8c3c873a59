"""`semisup compare FOLDER...`: what the runs in the folders say beside each other, and beside their controls.

In the terminal one sentence and tables; in the first folder comparison.csv, comparison.json and comparison.png.
Failed and unfinished runs are rows too.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from semisup.errors import RecordError
from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.text import shell_quote

if TYPE_CHECKING:
    from rich.console import Console

    from semisup.analysis.comparison import Comparison

DESCRIPTION = """\
Read finished and unfinished runs and say what they come to.

FOLDER is an experiment (outputs/NAME), one run (outputs/NAME/RUN) or outputs itself; runs of several data sets are
compared data set by data set. Nothing has to be said about the sweep: the settings that differ between the runs are
found and become the columns. Runs that differ in the seed alone are one row, with mean and spread (sample standard
deviation) over the seeds.

Each row stands beside its control (labels only, the same augmentation, model and number of optimizer steps) and the
plain baseline (no augmentation, the labeled passes alone). The gain over the control is what the unlabeled images
gave; the gain over the baseline is that plus what augmentation and longer training gave. Rows are sorted by
validation accuracy; the test set chooses nothing.
"""
EPILOG = """\
writes into the first FOLDER (beside the run, where it is one run):
  comparison.csv   one line a run: settings that differ, metrics, control, baseline, gains, status and reason
  comparison.json  the same, with the rows over seeds and the sentence
  comparison.png   threshold x strength heat map, or the two settings that vary most, or the rows one by one
  report.html      all of it as one page that needs neither server nor network: heat map, curves, the best run's
                   confusion and surest mistakes, and tables to sort and filter with the command of every run

example:
  semisup train -m threshold.tau=0.8,0.95 augment.strength=0.25,0.5 seed=0,1,2 name=mine
  semisup compare outputs/mine
"""


UNFAIR = "gains and ranks mix them; train the older runs again under another name="


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `semisup compare` takes."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="an experiment, a run, or outputs")
    said = "also show the comparison in W&B, as its runs were (offline unless tracking.mode=online), in their group"
    parser.add_argument("--track", nargs="*", metavar="tracking.KEY=VALUE", help=said)
    parser.set_defaults(run_command=compare_command)


def compare_command(arguments: argparse.Namespace) -> int:
    """`compare`, on this process's standard output."""
    from semisup.report.console import terminal

    return compare(arguments.folders, terminal(), arguments.track)


def compare(folders: list[Path], console: "Console", track: list[str] | None = None) -> int:
    """Read, compare, print and write.

    Args:
        track: settings of the mirror, `tracking.KEY=VALUE`; None = none is wanted.

    Returns:
        0, whatever the runs say.

    Raises:
        DataError: a folder is missing or holds no run.
        RecordError: the files cannot be written; the tables have been printed by then.
        SettingError: what `track` says cannot be.
    """
    from semisup.analysis.datasets import changed_datasets, compare_by_dataset
    from semisup.analysis.runs import find_runs, is_run, read_runs
    from semisup.report.files import comparison_files
    from semisup.report.terminal_tables import comparison_tables
    from semisup.report.wording import summary_sentence

    runs = read_runs(find_runs(folders))
    told = [(comparison, summary_sentence(comparison, folders[0])) for comparison in compare_by_dataset(runs)]
    show_in_mirror = _upload(told, folders, track) if track is not None else lambda _: []
    for comparison, words in told:
        console.print()
        console.print(words, markup=False, highlight=False)
        for table in comparison_tables(comparison, console):
            console.print(table)
    destination = folders[0].resolve().parent if is_run(folders[0]) else folders[0]
    comparisons = [comparison for comparison, _ in told]
    contents, problems = comparison_files(told, destination)
    for name, content in contents.items():
        _write(destination / name, content)
    tracked = show_in_mirror(destination)
    hints = [line for comparison in comparisons for line in _print_hints(comparison)]
    hints += [
        f"{name} changed between these runs (data set fingerprints differ): {UNFAIR}" for name in changed_datasets(runs)
    ]
    hints += problems
    lines = [*dict.fromkeys(hints), *([""] if hints else [])]
    lines += [*(f"wrote {shell_quote(destination / name)}" for name in contents), *tracked]
    lines += [line for comparison in comparisons for line in _next_command(comparison)]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _upload(told: "list[tuple[Comparison, str]]", folders: list[Path], track: list[str]) -> Callable[[Path], list[str]]:
    """What shows each comparison in W&B and says where it is; settings that cannot be are an error here and now."""
    from semisup.report.console import short_warnings
    from semisup.report.wandb_report import default_location, upload_comparison, wandb_settings

    shown = [each for each in told if any(run.identity for run in each[0].runs)] or told
    mirrors = [wandb_settings(comparison, folders, track) for comparison, _ in shown]

    def show_all(destination: Path) -> list[str]:
        short_warnings()
        for (settings, identity), (comparison, words) in zip(mirrors, shown, strict=True):
            upload_comparison(settings.open(identity), comparison, words, destination)
        return [line for _, identity in mirrors for line in default_location(identity)]

    return show_all


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise RecordError(f"{shell_quote(path)}: cannot be written: {error.strerror}") from None


def _print_hints(comparison: "Comparison") -> list[str]:
    """How to get what is not there."""
    pairs = comparison.references_of.items()
    alone = [Path(folder) for folder, pair in pairs if any(each.state == "missing" for each in pair)]
    hints = []
    if alone:
        asked = {str(run.folder) for run in comparison.runs if (run.config.get("sweep") or {}).get("control")}
        due = all(str(folder) in asked and (folder.resolve().parent / "sweeps").is_dir() for folder in alone)
        how = (
            "the same train command again trains them"
            if due
            else "repeat the sweep with sweep.control=true (semisup train -m ... sweep.control=true); it keeps what is "
            "done and trains those"
        )
        hints.append(f"{len(alone)} of {len(pairs)} runs have no control or no baseline{' yet' if due else ''}: {how}")
    if any(
        run.status in ("interrupted", "running", "failed", "diverged", "collapsed") for run in comparison.unfinished
    ):
        hints.append("the same train command again resumes interrupted runs and tries failed ones again")
    return hints


def _next_command(comparison: "Comparison") -> list[str]:
    """What to type next."""
    if comparison.best is None:
        return []
    row, best = comparison.best, comparison.best.best_run
    run, images = shell_quote(best.folder), "images/"
    lines = [
        "",
        f"look at the best run:   semisup show {run}",
        f"use it on your images:  semisup predict {run} {images}",
    ]
    position, ours = row.runs.index(best), best.accuracy("validation") or 0.0
    others = [pairs[position].other for pairs in (row.controls, row.baselines) if len(pairs) == len(row.runs)]
    done = [(other.accuracy("validation") or 0.0, other) for other in others if other and other.done]
    theirs, other = max(done, key=lambda each: each[0], default=(0.0, best))
    if theirs > ours:
        lines += [
            f"but labels alone do better by validation ({theirs:.1%} against {ours:.1%}):",
            f"                        semisup predict {shell_quote(other.folder)} {images}",
        ]
    return lines
