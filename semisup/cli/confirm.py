"""`semisup confirm FOLDER`: repeat the best setting of a sweep, and its reference runs, with new seeds."""

import argparse
import os
from pathlib import Path

EPILOG = """\
Repeat the best setting on validation (by train.select_by), and its reference runs (without unlabeled images), with
new seeds. The setting and the seeds are written to FOLDER_confirm/confirmation.json before the first run. To continue
after an interruption, type the same command again. The command prints the comparison of the new runs, and writes its
files to FOLDER_confirm; the first lines of `semisup compare FOLDER` then state the result, too. Words after FOLDER are
passed to the sweep:

  semisup confirm outputs/runs
  semisup confirm outputs/runs --seeds 20 hydra/launcher=cores     after the first line: trains 10 more seeds
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of a sweep: outputs/NAME")
    parser.add_argument(
        "settings", nargs="*", default=[], metavar="KEY=VALUE", help="hydra/launcher=NAME or tracking.KEY=VALUE"
    )
    seeds = "number of new seeds, from 3 to 100 (default 10); a larger number than before adds seeds to a confirmation"
    parser.add_argument("--seeds", type=int, metavar="N", help=seeds)
    parser.set_defaults(run_command=confirm_command)


def confirm_command(arguments: argparse.Namespace) -> int:
    """Repeat the best setting of a sweep with new seeds, compare the runs, and return the exit status.

    Raises:
        DataError: the folder contains no finished sweep, or its runs use several data sets.
        SettingError: an earlier confirmation has more seeds, or a word of the command line is not allowed.
    """
    from semisup.analysis.confirmation import confirmed_sweep, declare, is_confirmation, labels_only_finished
    from semisup.analysis.datasets import compare_experiments
    from semisup.analysis.runs import find_runs, is_run, read_runs
    from semisup.cli.compare import compare
    from semisup.cli.train import train_command
    from semisup.config.overrides import config_overrides
    from semisup.config.quoting import format_value
    from semisup.errors import DataError, SettingError
    from semisup.report.console import terminal
    from semisup.text import escape, listed, shell_quote

    for word in arguments.settings:
        if word.isdigit():
            raise SettingError("--seeds", word, f"the number of seeds is an option; type --seeds {word}")
        if not word.startswith(("hydra/launcher=", "hydra.launcher.", "tracking")):
            raise SettingError(
                word.partition("=")[0],
                word.partition("=")[2],
                "cannot be set: confirm uses the settings of the sweep; only hydra/launcher and tracking can be set",
            )
    folder = arguments.folder
    if is_run(folder):
        sweep = shell_quote(path_from_here(folder.resolve().parent))
        raise DataError(
            f"{escape(folder)}: is a run; confirm repeats the best run of a sweep; type semisup confirm {sweep}"
        )
    if (confirmed := confirmed_sweep(folder)) is not None:
        typed = f"semisup confirm {shell_quote(confirmed)} --seeds N"
        raise DataError(f"{escape(folder)}: is the folder of a confirmation; to add seeds to it, type {typed}")
    comparisons = compare_experiments(read_runs(find_runs([folder])), [folder])
    if experiments := [each.experiment for each in comparisons if each.experiment is not None]:
        names = listed(shell_quote(each) for each in dict.fromkeys(experiments) if not is_confirmation(each))
        raise DataError(
            f"{escape(folder)}: contains several experiments; type semisup confirm with one of them: {names}"
        )
    if len(comparisons) != 1:
        raise DataError(f"{escape(folder)}: contains runs of several data sets; give the folder of one sweep")
    plan = declare(comparisons[0], folder, arguments.seeds)
    seeds, place = ",".join(map(str, plan.seeds)), path_from_here(plan.folder)
    places = [f"name={place.name}", f"output_root={format_value(str(place.parent))}", f"seed={seeds}"]
    places.append("sweep.minutes=null")  # all declared seeds are trained, whatever the limit of the sweep was
    for config in (plan.config, plan.labels_only):
        if config is None or (config is plan.labels_only and labels_only_finished(plan)):
            continue
        overrides = config_overrides(config, follow_seed=plan.redraw_labels)
        if status := train_command(["-m", *overrides, *places, *arguments.settings], ends_with_summary=False):
            return status
    return compare([place], terminal())


def path_from_here(folder: Path) -> Path:
    """Return the path relative to the current folder if it is inside, else the absolute path."""
    try:
        path = Path(os.path.relpath(folder))
    except ValueError:  # on another drive of Windows
        return folder
    return folder if path.parts[:1] == ("..",) else path
