"""Write what to do about a finding of `semisup advise`: an instruction, and a command if there is one."""

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from semisup.cli._next_commands import TRAIN, recorded_words, words_of_rows
from semisup.config.quoting import format_value
from semisup.text import printable, shell_quote

if TYPE_CHECKING:
    from semisup.analysis.advice.case import Case
    from semisup.analysis.advice.checks import Advice, Finding
    from semisup.analysis.advice.concentration import Concentration
    from semisup.analysis.advice.labels_alone import LabelsAlone
    from semisup.analysis.advice.out_of_class import OutOfClass
    from semisup.analysis.rows import Row
    from semisup.analysis.runs import Run

IMAGES = "images/"
ESTIMATE = {"loss": "logit_adjustment", "loss.unlabeled": "estimate"}
"""Settings against pseudo-labels of few classes; docs/results.md compares them with other remedies."""

WITHOUT_CROSS_ENTROPY = ("mixmatch", "mean_teacher")
"""Methods that refuse `loss.unlabeled=estimate`, because their loss on pseudo-labels compares probabilities."""

COMMAND_LENGTH = 4000


def commands_for(finding: "Finding", case: "Case") -> list[str]:
    """Write what to do about a finding, as lines with an instruction and a command.

    Args:
        finding: one result of `semisup advise`; for example, training on labels alone is as accurate.
        case: the compared runs on which the finding is based.
    """
    from semisup.analysis.advice.concentration import Concentration
    from semisup.analysis.advice.labels_alone import LabelsAlone
    from semisup.analysis.advice.more_labels import MORE, MoreLabels
    from semisup.analysis.advice.out_of_class import OutOfClass

    if isinstance(finding, LabelsAlone):
        return _for_labels_alone(finding, case)
    if isinstance(finding, OutOfClass):
        return _for_out_of_class(finding, case)
    if isinstance(finding, Concentration):
        return _for_concentration(finding)
    if isinstance(finding, MoreLabels):
        return ["Choose the images to label:", f"  {_label(finding.row.best_run, MORE)}"]
    dataset = finding.best.runs[0].config["dataset"]
    if dataset.get("validation_per_class") is not None:
        command = _train_again(finding.best, {"dataset.validation_per_class": "null"})
        return [*([f"Use all validation images:\n     {command}"] if command else [])]
    return ["Treat these settings as equally good, or add labeled images to the validation set."]


def halving_commands(advice: "Advice", case: "Case") -> list[str]:
    """Write the commands that train the runs that the check `value of more labels` needs.

    It needs labels-only runs on half of the labels, and at least two seeds of all runs.

    Returns:
        An instruction and the commands; [] if the check does not report runs as missing, or if no command can be
        written.
    """
    from semisup.analysis.advice.case import image_count
    from semisup.analysis.advice.more_labels import HALF, NAME, TWO_SEEDS
    from semisup.analysis.run_history import class_names
    from semisup.analysis.run_settings import LABELS

    best = case.comparison.best
    if best is None or not any(each.check == NAME and each.missing in (HALF, TWO_SEEDS) for each in advice.without):
        return []
    controls = [pair.finished for pair in best.controls]
    run, control = best.runs[0], next((each for each in controls if each is not None), None)
    labels, classes = image_count(run, "labeled"), len(class_names(run.folder))
    if control is None or not labels or not classes or "lambda_unlabeled" not in run.config["method"]:
        return []
    per_class = labels // (2 * classes)
    if per_class < 1 or LABELS not in run.config["dataset"]:
        return []
    changes = {"method.lambda_unlabeled": "0", f"dataset.{LABELS}": str(per_class)}
    length = {key: control.config["train"][key] for key in ("epochs", "steps", "patience")}
    if any(run.config["train"][key] != value for key, value in length.items()):
        changes |= {f"train.{key}": "null" if value is None else str(value) for key, value in length.items()}
    seeds = sorted({each.seed or 0 for each in best.runs})
    one_seed = any(len({each.replicate for each in row.runs}) < 2 for row in case.comparison.rows)
    if one_seed:
        seeds = seeds if len(seeds) > 1 else [seeds[0], seeds[0] + 1]
    command = _train_again(best, changes, seeds)
    if not command:
        return []
    task, commands = f"train labels alone with {per_class} per class, half of the labels", [command]
    if one_seed:
        words = words_of_rows([row for row in case.comparison.rows if row.controls])
        if not words:
            return []
        task = f"train a second seed of all settings, and {task.removeprefix('train ')}"
        commands.insert(0, _in_shell([*TRAIN, "-m", *words, f"seed={','.join(map(str, seeds))}"]))
    return [f"To check the {NAME}, {task}:", *(f"  {each}" for each in commands)]


def _for_labels_alone(finding: "LabelsAlone", case: "Case") -> list[str]:
    from semisup.analysis.advice.labels_alone import Verdict
    from semisup.analysis.confirmation import FEWEST_SEEDS, MOST_SEEDS
    from semisup.analysis.spread import mean_validation_score

    confirm = f"semisup confirm {shell_quote(case.folder)}"
    can_confirm = case.alone and not finding.confirmed and case.folder.resolve() not in _folders(finding.row.runs)
    if finding.verdict is Verdict.HELP:
        if can_confirm:
            return ["Confirm it with new seeds:", f"  {confirm}"]
        return ["Use it:", f"  {_predict([finding.row.best_run])}"]
    needed = finding.seeds_needed
    if finding.verdict is Verdict.UNDECIDED and needed is not None and needed <= MOST_SEEDS and can_confirm:
        return ["Repeat it with more seeds:", f"  {confirm} --seeds {max(int(needed), FEWEST_SEEDS)}"]
    usable = _with_model(finding)
    if finding.verdict is Verdict.UNDECIDED:
        usable.append(finding.row.best_run)
        advice = "More labeled or test images would decide it; use the run that is best on validation:"
    else:
        advice = "Use labels alone:"
    best = max(usable, key=lambda run: mean_validation_score([run]), default=None)
    return [] if best is None else [advice, f"  {_predict([best])}"]


def _with_model(finding: "LabelsAlone") -> "list[Run]":
    """Return the labels-only runs that `semisup predict` can use.

    If the best labels-only runs are nearest neighbors, which store no model, these are the controls and baselines.
    """
    from semisup.analysis.gains import BASELINE, CONTROL

    others = [gain.finished for kind in (CONTROL, BASELINE) for gain in finding.row.references(kind)]
    return [run for run in finding.references if run.stores_model] or [run for run in others if run is not None]


def _for_out_of_class(finding: "OutOfClass", case: "Case") -> list[str]:
    """Write what to do about unlabeled images that belong to none of the classes.

    If the run was trained without `reject`, the advice is to train with it; otherwise, to look at these images in the
    report.
    """
    best = case.comparison.best
    command = ""
    if finding.score == "confidence" and best is not None and best.runs[0].config["method"]["name"] != "mixmatch":
        encoder = best.runs[0].config.get("encoder") or {}
        command = _train_again(best, {"reject": "energy" if encoder.get("name", "none") == "none" else "knn"})
    if command:
        return ["Leave out the images with the lowest scores (docs/open_set.md), and compare:", f"  {command}"]
    return ["Look at the images in the report of the run:", f"  {_show(finding.run)}"]


def _for_concentration(finding: "Concentration") -> list[str]:
    """Write what to do about pseudo-labels of few classes.

    The advice is another loss, or selection by class for methods without a cross-entropy on pseudo-labels. If the model
    itself predicts few classes, or if the run already has these settings, it is to label images.
    """
    run, lines = finding.row.best_run, []
    if run.config["method"]["name"] in WITHOUT_CROSS_ENTROPY:
        changes, done = {"threshold": "class_balanced"}, run.config["threshold"]["name"] == "class_balanced"
    else:
        changes, done = ESTIMATE, (run.config.get("loss") or {}).get("unlabeled") == "estimate"
    if not done and (command := _train_again(finding.row, changes)):
        lines = ["Reduce the preference for few classes (docs/results.md), and compare:", f"  {command}"]
    by_policy = finding.labeled is None or finding.selected - finding.labeled > finding.labeled - finding.validation
    if lines and by_policy:
        return lines
    return [
        *lines,
        "If the unlabeled set does not have these proportions, label images of other classes:",
        f"  {_label(run)}",
    ]


def _folders(runs: "Iterable[Run]") -> set[object]:
    return {run.folder.resolve() for run in runs}


def _predict(runs: "Iterable[Run]") -> str:
    return f"semisup predict {' '.join(shell_quote(run.folder) for run in runs)} {IMAGES}"


def _show(run: "Run") -> str:
    return f"semisup show {shell_quote(run.folder)}"


def _label(run: "Run", count: int | None = None) -> str:
    return f"semisup label {shell_quote(run.folder)}{'' if count is None else f' --next {count}'}"


def _train_again(row: "Row", changes: dict[str, str], numbers: Sequence[int] = ()) -> str:
    """Write the command that trains the runs of one row of the comparison again, with other values of some keys.

    Args:
        row: runs that differ only in the seed or the fold, and the values of the keys that they share.
        changes: key -> new value.
        numbers: the seeds; () = those of the row.

    Returns:
        The recorded command of the sweep, with the values that the runs share and then the changes; "" if no command is
        recorded.
    """
    words = recorded_words(row.runs[0])
    if not words:
        return ""
    seeds = ",".join(map(str, numbers or sorted({run.seed or 0 for run in row.runs})))
    folds = ",".join(map(str, sorted({run.fold for run in row.runs if run.fold is not None})))
    own = dict(_override(key, value) for key, value in row.settings.items())
    values = own | changes | {"seed": seeds} | ({"dataset.fold": folds} if folds else {})
    kept = [word for word in words if _key(word) not in values]
    command = [*kept, *(f"{key}={value}" for key, value in values.items())]
    command = [word for word in command if not _belongs_to_other_option(_key(word), changes)]
    many = ["-m"] if "," in seeds or "," in folds else []
    return _in_shell([*TRAIN, *many, *command])


def _in_shell(words: list[str]) -> str:
    return printable(shlex.join(words), COMMAND_LENGTH)


def _belongs_to_other_option(key: str, changes: dict[str, str]) -> bool:
    """Whether a key loses its meaning because `changes` replaces its option: `method.ratio` if `changes` has `method`.

    False for `threshold.tau`, which is kept when the threshold policy changes.
    """
    group, _, inner = key.partition(".")
    return bool(inner) and group in changes and key not in changes and key != "threshold.tau"


def _override(key: str, value: object) -> tuple[str, str]:
    """Convert a setting of a config to the key and the value of an override: `method.name` becomes `method`."""
    from semisup.config.nodes import GROUP_NODES

    node, _, inner = key.partition(".")
    if inner != "name" or node not in GROUP_NODES:
        return key, format_value(value)
    group = GROUP_NODES[node]
    return (group if group == node else f"{group}@{node}"), str(value)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
