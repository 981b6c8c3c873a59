"""Answer a folder of runs, given where a command needs one run, with the best run in this folder."""

from pathlib import Path

from semisup.text import counted, shell_quote

MOST_NAMED = 5
"""Largest number of experiments whose best runs are named in one message."""


def best_runs(folder: Path) -> list[Path]:
    """List the best run on validation (by `train.select_by`) of each experiment and data set in a folder.

    Returns:
        [] if the folder does not exist or contains no finished run.
    """
    from semisup.analysis.confirmation import is_confirmation
    from semisup.analysis.datasets import compare_experiments
    from semisup.analysis.runs import find_runs, read_runs
    from semisup.errors import DataError

    if not folder.is_dir():
        return []
    try:
        comparisons = compare_experiments(read_runs(find_runs([folder])), [folder])
    except DataError:
        return []
    best = [each.best.best_run.folder for each in comparisons if each.best is not None]
    return [run for run in best if not is_confirmation(run.parent)] or best


def require_run(folder: Path, command: str, rest: str = "") -> None:
    """Raise RecordError if `folder` is a folder of runs; the message names the best of them.

    A folder without finished runs, or without runs, is accepted; the command reports what is wrong with it.

    Args:
        folder: the folder that the user typed as RUN.
        command: the command that the user typed, such as `semisup show`.
        rest: what follows RUN in the suggested command.
    """
    from semisup.analysis.runs import is_run
    from semisup.errors import RecordError

    if is_run(folder) or not (runs := best_runs(folder)):
        return
    about = "the best run on validation"
    if len(runs) > 1:
        others = "; ".join(shell_quote(run) for run in runs[1:MOST_NAMED])
        more = f" and {counted(len(runs) - MOST_NAMED, 'other')}" if len(runs) > MOST_NAMED else ""
        about += f" of the first experiment or data set (of the others: {others}{more})"
    typed = " ".join(filter(None, (command, shell_quote(runs[0]), rest)))
    raise RecordError(f"{shell_quote(folder)}: is a folder of runs; type {typed} for {about}")
