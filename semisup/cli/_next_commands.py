"""Write the hints and the commands that `semisup compare` prints below its tables."""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.config.quoting import format_value
from semisup.record.reader import read_json
from semisup.record.status import RECORDED_STATUSES, RunStatus
from semisup.text import counted, printable, shell_quote

if TYPE_CHECKING:
    from semisup.analysis.comparison import Comparison
    from semisup.analysis.rows import ReferenceGain, Row
    from semisup.analysis.runs import Run

REFIT_SETTINGS: dict[str, Any] = {
    "method.gate": 0,
    "labeler.calibrate": False,
    "train.patience": None,
    "train.select_by": "accuracy",
    "dataset.folds": None,
    "dataset.fold": None,
}
"""Key of a setting that needs validation images -> its value in a refit (`train.refit`), which has none."""

TRAIN = ["semisup", "train"]


def hints(comparison: "Comparison") -> list[str]:
    """Write hints about a comparison, such as how to train missing controls and how to continue unfinished runs."""
    lines = _missing_references(comparison)
    if any(row.ensemble is not None and len({run.fingerprint for run in row.runs}) > 1 for row in comparison.rows):
        lines.append(
            "each seed has its own labeled images, so an ensemble of several seeds has learned from more labels than "
            "one run (docs/statistics.md)"
        )
    if any(_shares_views(row.runs) for row in comparison.rows):
        lines.append(
            "all seeds have the same stored augmented views (encoder.view_seed), so the spread and the intervals do "
            "not contain the randomness of the augmentation (docs/encoders.md)"
        )
    if any(run.config["method"]["name"] == "noisy_student" for row in comparison.rows for run in row.runs[:1]):
        lines.append(
            "noisy_student restarts the model every method.refresh_every epochs; epochs of the control (the same run "
            "without unlabeled images) are shorter, so it restarts more often in as many steps (docs/methods.md)"
        )
    if any(run.status == RunStatus.STOPPED for run in comparison.unfinished):
        lines.append("the same train command without hydra/sweeper=halving continues the runs that halving stopped")
    if any(run.status in RECORDED_STATUSES and run.status != RunStatus.STOPPED for run in comparison.unfinished):
        from semisup.runner.reproduction import PREFIX

        reproductions = any(str(run.name).startswith(PREFIX) for run in comparison.unfinished)
        command = "train command (for a reproduction, reproduce command)" if reproductions else "train command"
        lines.append(f"the same {command} resumes interrupted runs and retries failed ones")
    return lines


def _shares_views(runs: "Sequence[Run]") -> bool:
    """Whether runs of several seeds train on the same augmented views of an encoder's images."""
    view_seeds = {(run.config.get("encoder") or {}).get("view_seed") for run in runs}
    if len({run.seed for run in runs}) < 2 or len(view_seeds) > 1 or None in view_seeds:
        return False
    dataset = (read_json(runs[0].folder / "run.json") or {}).get("dataset")
    features = dataset.get("features") if isinstance(dataset, dict) else None
    packs = features.get("packs") if isinstance(features, dict) else None
    return isinstance(packs, dict) and any(name != "plain" for name in packs)


def _missing_references(comparison: "Comparison") -> list[str]:
    """Write how many runs lack a control or a baseline (runs to compare with), and the command to train them.

    Returns:
        One line; [] if no run lacks its control or baseline.
    """
    from semisup.analysis.gains import BASELINE, CONTROL
    from semisup.sweep.job_store import swept_runs

    pairs = comparison.references_of
    without = [
        run for run in comparison.runs if (gains := pairs.get(str(run.folder))) and not _has(gains, CONTROL, BASELINE)
    ]
    if not without:
        return []
    swept = {parent: swept_runs(parent) for parent in {run.folder.resolve().parent for run in without}}
    due = all(
        run.config["sweep"].get("control") and run.folder.resolve().name in swept[run.folder.resolve().parent]
        for run in without
    )
    verb = "has" if len(without) == 1 else "have"
    count = f"{len(without)} of {counted(len(pairs), 'run')} {verb} no control or no baseline"
    if due:
        return [f"{count} yet: the same train command again trains them"]
    words = recorded_words(without[0])
    control = [] if without[0].config["sweep"].get("control", True) else ["sweep.control=true"]
    kept = [word for word in words if _key(word) != "sweep.control"]
    if not words:
        return [f"{count}: repeat the command with -m and sweep.control=true; it reuses finished runs"]
    command = _in_shell([*TRAIN, "-m", *kept, *control])
    others = "" if len(without) == 1 else ", and likewise for the others"
    return [f"{count}; this command reuses the finished run and trains them{others}: {command}"]


def _has(gains: "Mapping[str, ReferenceGain]", *kinds: str) -> bool:
    return all(gains[kind].other for kind in kinds)


def next_commands(comparison: "Comparison", folder: Path | None) -> list[str]:
    """Write the commands to type after a comparison: look at the best run, use it, or train it on all labels.

    If the best setting was trained on several folds, its runs are recommended together.

    Args:
        folder: folder of the compared runs. If a setting of this sweep was confirmed, it is used in place of the best.
            None = several folders were compared together.
    """
    from semisup.analysis.confirmation import declared_row, read_plan
    from semisup.report.format_numbers import format_selection

    # the fold with the best accuracy may only have the easiest validation images
    plan = None if folder is None else read_plan(folder)
    row = (None if plan is None else declared_row(comparison, plan)) or comparison.best
    if row is None:
        return []
    folds = row.runs[0].fold is not None
    runs, images = _shell_list(row.runs if folds else [row.best_run]), "images/"
    lines = ["", *([] if folder is None else _repetition(comparison, row, folder, confirmed=plan is not None))]
    lines += [f"look at {'one fold' if folds else 'the best run'}:   semisup show {shell_quote(_shown(row).folder)}"]
    lines += [f"use {'all folds' if folds else 'it'} on your images:  semisup predict {runs} {images}"]
    if folds:
        lines += [f"train it on all labels: {refit_command(row.runs[0])}"]
    used = row.runs if folds else (row.best_run,)
    if others := _better_reference(comparison, used):
        better, value = (format_selection(each) for each in (others, used))
        lines += [
            f"but training on labels only does better on the validation images ({better} against {value}):",
            f"                        semisup predict {_shell_list(others)} {images}",
        ]
    return lines


def _repetition(comparison: "Comparison", row: "Row", folder: Path, *, confirmed: bool) -> list[str]:
    """Write the command that repeats runs with more seeds; [] if there are several seeds, or if it is not useful.

    With several settings, all of them are repeated, so that their order depends less on chance; a single setting is
    repeated by `semisup confirm`. Without a control, the hint about missing references comes first.

    Args:
        row: the best setting.
        folder: folder of the runs.
        confirmed: whether the setting is repeated by a confirmation already.
    """
    from semisup.analysis.runs import is_run

    run = row.runs[0]
    if len(row.runs) > 1 or run.fold is not None or confirmed or not run.uses_unlabeled or is_run(folder):
        return []
    if not all(pair.other for pair in row.controls):
        return []
    words = words_of_rows([each for each in comparison.rows if each.controls])
    if len(comparison.rows) == 1 or not words:
        return [f"repeat it with new seeds: semisup confirm {shell_quote(folder)}"]
    seeds = ",".join(str((run.seed or 0) + number) for number in range(3))
    return [f"repeat it with 3 seeds (finished runs are reused): {_in_shell([*TRAIN, '-m', *words, f'seed={seeds}'])}"]


def _shown(row: "Row") -> "Run":
    return row.best_run if row.runs[0].fold is None else row.runs[0]


def _better_reference(comparison: "Comparison", runs: "Sequence[Run]") -> "list[Run]":
    """Find the kind of reference runs (such as control or baseline) with the best mean validation score.

    Args:
        runs: the runs with which the reference runs are compared. A kind is left out if one of these runs has no
            finished reference run of this kind with a stored model.

    Returns:
        The reference runs of the best kind, if their score is better than that of `runs`; else [].
    """
    from semisup.analysis.spread import mean_validation_score

    accuracies: dict[str, list[Run]] = {}
    for run in runs:
        for kind, gain in comparison.references_of.get(str(run.folder), {}).items():
            if (other := gain.finished) is not None and other.stores_model:
                accuracies.setdefault(kind, []).append(other)
    complete = [others for others in accuracies.values() if len(others) == len(runs)]
    best = max(complete, key=mean_validation_score, default=[])
    return best if best and mean_validation_score(best) > mean_validation_score(runs) else []


def refit_command(run: "Run") -> str:
    """Return the command that trains a setting on labeled and validation images together (a refit).

    Args:
        run: a run with this setting.
    """
    words = [word for word in recorded_words(run) if not _key(word).startswith(("sweep.", "train.refit"))]
    if not words:
        return "semisup train ... train.refit=true dataset.folds=null dataset.fold=null"
    for key, value in REFIT_SETTINGS.items():
        section, _, name = key.partition(".")
        node = run.config.get(section) or {}
        if name in node and node[name] != value:
            words = [*(word for word in words if _key(word) != key), f"{key}={format_value(value)}"]
    return _in_shell([*TRAIN, *words, "train.refit=true"])


def recorded_words(run: "Run") -> list[str]:
    """Read the overrides (KEY=VALUE) of the command that trained a run, from run.json; [] if they cannot be read.

    Overrides of Hydra's own settings, such as the launcher, are left out.
    """
    command = (read_json(run.folder / "run.json") or {}).get("command")
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        return []
    settings = [word for word in words[2:] if word not in ("-m", "--multirun")]
    if words[:2] != TRAIN or not all("=" in word or word.startswith("~") for word in settings):
        return []
    return [word for word in settings if not _key(word).startswith(("hydra.", "hydra/"))]


def words_of_rows(rows: "Sequence[Row]") -> list[str]:
    """Write the overrides, without the seed, that train the settings of all rows; [] if one command cannot train them.

    The runs of a sweep have recorded its command. In a sweep that an experiment defines, each run has recorded its own
    values, which are joined by commas if the rows are all combinations of them.
    """
    commands = [[word for word in recorded_words(row.runs[0]) if _key(word) != "seed"] for row in rows]
    if not commands or any(list(map(_key, words)) != list(map(_key, commands[0])) for words in commands):
        return []
    values = [list(dict.fromkeys(word.partition("=")[2] for word in same)) for same in zip(*commands, strict=True)]
    if math.prod(map(len, values)) != len({tuple(words) for words in commands}):
        return []
    pairs = zip(commands[0], values, strict=True)
    return [word if len(every) == 1 else f"{word.partition('=')[0]}={','.join(every)}" for word, every in pairs]


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _in_shell(words: list[str]) -> str:
    return printable(shlex.join(words), 2000)


def _shell_list(runs: "Iterable[Run]") -> str:
    return " ".join(shell_quote(Path(run.folder)) for run in runs)
