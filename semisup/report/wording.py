"""Describe the result of a comparison in sentences: the best settings, their gains, and the evidence."""

import contextlib
import math
from collections import Counter
from pathlib import Path

from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.confirmation import confirmed_sweep, declared_row, read_confirmation
from semisup.analysis.diagnosis import unused_reason
from semisup.analysis.folds import incomplete_folds, repetitions
from semisup.analysis.gains import CONTROL, LABELS_ONLY, Evidence, Gain, evidence, seeds_to_detect
from semisup.analysis.intervals import Interval
from semisup.analysis.reference_groups import OLD_CONTROL, PROBE, control_name
from semisup.analysis.rows import Row
from semisup.analysis.run_history import chosen_before_selection
from semisup.analysis.run_settings import FlatSettings, format_settings
from semisup.analysis.runs import ACCURACY, NO_ACCURACY, as_number, find_runs, read_runs
from semisup.analysis.selection import METRIC_NAMES
from semisup.analysis.spread import mean_validation_score
from semisup.config.run_id import ConfigDict
from semisup.core.probe_grids import NAMES
from semisup.errors import DataError
from semisup.report.format_numbers import format_mean_std, missing_reason
from semisup.text import escape, listed, printable, shell_quote

SMALL_SIDE = 32
"""Largest side in pixels of images that do not count as photographs; it is not applied to `dataset=folder`."""

TO_CONFIRM = "to be confirmed by semisup confirm"
SWEEP_HEADING = "The sweep in which this setting was selected, without the confirmation:"
AGAINST_LABELS = "Compared with labels alone"


def summary_sentence(comparison: Comparison, folder: Path | None = None) -> str:
    """Describe a comparison in a few lines: the best settings, and their gains over the control and over labels alone.

    If `semisup confirm` was run for the sweep in `folder`, the lines about its result come first. If `folder` contains
    the runs of a confirmation, there are no other lines.
    """
    prefix = f"{comparison.label}: " if comparison.label else ""
    if folder is not None and (sweep := confirmed_sweep(folder)) and (text := confirmation_sentence(sweep)):
        return f"{prefix}{text}"
    confirmed = confirmation_sentence(folder, comparison) if folder is not None else ""
    best = comparison.best
    if best is None:
        statuses = Counter(run.status for run in comparison.unfinished)
        counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
        if refits := _refits(comparison):
            return f"{prefix}{refits}"
        return f"{prefix}No run is finished yet: {counts}."
    lines = [
        f"{'' if confirmed else prefix}{_best_settings(comparison, best)}: {_accuracy(best)} {repetitions(best.runs)}."
    ]
    if best.controls:
        lines += [_unlabeled_line(best), _labels_only_line(comparison, best), *encoder_question(best.runs[0].config)]
    incomplete = incomplete_folds([(format_settings(row.settings), row.runs) for row in comparison.rows])
    lines += [_stability_line(comparison, best), incomplete, _refits(comparison), comparison.selection_note]
    if confirmed.startswith("Confirmed"):
        lines = [line.replace(f", {TO_CONFIRM}", " before its confirmation") for line in lines]
    if confirmed:
        confirmed, lines = f"{prefix}{confirmed}", [SWEEP_HEADING, *lines]
    return "\n".join(filter(None, [confirmed, *lines]))


def _refits(comparison: Comparison) -> str:
    """State the number of finished refits (runs on labeled and validation images together); "" if there are none."""
    count = sum(run.done for run in comparison.runs if run.refit)
    return f"{count} refit{'s' if count > 1 else ''} on labels and validation images: {NO_ACCURACY}." if count else ""


def title(comparison: Comparison) -> str:
    """Write the title of a comparison's figures: a short form of its summary."""
    best, prefix = comparison.best, f"{comparison.label}: " if comparison.label else ""
    if best is None:
        return f"{prefix}No run is finished yet"
    settings = f": {format_settings(best.settings)}" if best.settings else ""
    gain = best.gains.get(CONTROL)
    tail = f", {gain.mean:+z.1f} points over the {control_name(best.runs)}" if gain else ""
    tail += f" ({evidence(gain.sweep_interval, confirmed=False)})" if gain and gain.sweep_interval else ""
    accuracy = format_mean_std(best.score(best.split), unit=100)
    balanced = "" if best.runs[0].measure == ACCURACY else f"{measure_name(best)} "
    return f"{prefix}Best on validation{settings}\n{best.split} {balanced}{accuracy} %{tail}, {repetitions(best.runs)}"


def row_name(row: Row, max_letters: int = 60) -> str:
    """Name a row (the runs of one setting) by the settings that differ between rows, or by its method if none differ.

    Args:
        max_letters: maximum number of characters of the name.
    """
    text = format_settings(row.settings) or escape(row.runs[0].config["method"]["name"])
    return text if len(text) <= max_letters else text[: max_letters - 3] + "..."


def _best_settings(comparison: Comparison, best: Row) -> str:
    count = len(comparison.rows)
    by = "" if comparison.select_by == ACCURACY else f" by {METRIC_NAMES[comparison.select_by]}"
    text = f"Best of {count} settings, selected{by} on validation" if count > 1 else "One setting"
    return f"{text}: {format_settings(best.settings)}" if best.settings else text


def _accuracy(row: Row) -> str:
    value = format_mean_std(row.score(row.split), unit=100)
    note = "" if row.split == "test" else " (there is no test set)"
    return f"{row.split} {measure_name(row)} {value} %{note}"


def measure_name(row: Row) -> str:
    """Name the measure of the gains of a row: `accuracy` or `balanced accuracy`."""
    return METRIC_NAMES[row.runs[0].measure]


def _unlabeled_line(row: Row) -> str:
    """Write the line about the effect of the unlabeled images: gain over the control, interval and evidence."""
    value = row.gains.get(CONTROL)
    if value is None:
        return f"Unlabeled images: {missing_reason(row.controls, 'control')}, so their effect is unknown."
    if _is_unused(row):
        reasons = dict.fromkeys(reason for run in row.runs if (reason := unused_reason(run)))
        tail = f": {printable(next(iter(reasons)), 2000)}." if reasons else " in the last labeling, and the gain is 0."
        return f"Unlabeled images: no pseudo-label was used{tail}"
    name = f"the {control_name(row.runs)}"
    return f"Unlabeled images: {_gain_text(row, value, value.sweep_interval, name)}{_early_weights(row)}"


def _labels_only_line(comparison: Comparison, row: Row) -> str:
    """Write the line about the gain over the best labels-only runs."""
    value = row.gains.get(LABELS_ONLY)
    others = {pair.other.id for pair in row.labels_only if pair.other is not None}
    groups = [group for group in comparison.references if group.kind == LABELS_ONLY]
    group = next((group for group in groups if others & {run.id for run in group.runs}), None)
    if value is None or group is None:
        return f"{AGAINST_LABELS}: no labels-only run is finished, so it is unknown whether one would be as good."
    if all(same.other is other.other for same, other in zip(row.labels_only, row.controls, strict=True)):
        return f"{AGAINST_LABELS}: no other labels-only run is better on validation than the control."
    probe = NAMES.get(str(group.settings.get(PROBE)))
    settings = f" ({probe or _training(group.settings)})" if group.settings else ""
    reference = f"the best labels-only runs{settings}"
    return f"{AGAINST_LABELS}: {_gain_text(row, value, value.sweep_interval, reference)}"


def _training(settings: FlatSettings) -> str:
    """Describe labels-only runs: `training of noisy_student, augmentation randaugment 0.5`.

    A method without pseudo-labels still determines how long and how often the labels are trained on.
    """
    method, augment, strength = (settings.get(key) for key in ("method.name", "augment.name", "augment.strength"))
    parts = ["supervised training" if method == "supervised" else f"training of {escape(method)}"]
    if augment is not None:
        parts.append(f"augmentation {escape(augment)}" + ("" if augment == "none" else f" {escape(strength)}"))
    return ", ".join(parts)


def encoder_question(config: ConfigDict) -> list[str]:
    """Suggest a pretrained encoder, if a model is trained on photographs from random weights.

    Returns:
        One line; [] if the suggestion does not apply.
    """
    dataset, encoder = config["dataset"], config["encoder"]["name"]
    size = as_number(dataset.get("size")) or 0
    if encoder != "none" or config["model"].get("weights") or (dataset["name"] != "folder" and size <= SMALL_SIDE):
        return []
    question = "do labels alone do better on the features of a pretrained encoder?"
    return [f"Not asked here: {question} Add encoder=lite0 model=linear to the command (docs/encoders.md)."]


def _gain_text(row: Row, value: Gain, interval: Interval | None, reference: str, *, confirmed: bool = False) -> str:
    """Describe the gain of a setting and the evidence for it in words.

    An example is `this setting is 3.9 points better than the control, 95 % interval of the gain -0.3 to +8.1: ...`.

    Args:
        row: the runs of the setting.
        value: the gain.
        interval: its 95 % interval; None with one seed.
        reference: name of the reference runs, such as `the control`.
        confirmed: whether the runs are those of `semisup confirm`.
    """
    size = f"{abs(value.mean):.1f}"
    direction = f"this setting is {size} points {'worse' if value.mean < 0 else 'better'} than {reference}"
    if size == "0.0":
        direction = f"this setting and {reference} are 0.0 points apart"
    part = "" if value.pairs == len(row.runs) else f" ({value.pairs} of {len(row.runs)} {_unit(row)})"
    tail = "" if row.split == "test" else " Measured on the validation images that selected it, so it is optimistic."
    if interval is None:
        return f"{direction}{part}; {repetitions(row.runs)} the difference may be chance{_sampling_error(row)}.{tail}"
    limits = f"95 % interval of the gain {interval.low:+z.1f} to {interval.high:+z.1f}"
    labels = " for these labels" if value.for_these_labels else ""
    judgment = _judgment(
        row, value, interval, "labels alone" if "only" in reference else reference, confirmed=confirmed
    )
    return f"{direction}{part}, {limits}{labels}: {judgment}.{tail}"


def _judgment(row: Row, value: Gain, interval: Interval, over: str, *, confirmed: bool) -> str:
    """State how strong the evidence for a gain is, and what the user can do next."""
    word = evidence(interval, confirmed=confirmed)
    if word is Evidence.CLEAR:
        return "a clear gain"
    if word is Evidence.CLEAR_HARM:
        return "clear harm: use labels alone"
    if word is Evidence.SUGGESTIVE:
        old = control_name(row.runs) == OLD_CONTROL
        return f"a suggestive gain, {TO_CONFIRM}" + (", of a new sweep" if old else "")
    if word is Evidence.SUGGESTIVE_HARM:
        return "suggestive of harm: labels alone do better"
    if confirmed:
        return "no evidence of a difference"
    needed = seeds_to_detect(value, confirmed=confirmed)
    more = ""
    if needed is not None:
        number = (
            f"about {needed:.0f} new seeds would"
            if math.isfinite(needed)
            else "even 1,000 new seeds would probably not"
        )
        more = f"; {number} detect a gain of this size over {over}"
    return f"no evidence of a {'gain' if value.mean >= 0 else 'difference'}{more}"


def _stability_line(comparison: Comparison, best: Row) -> str:
    """State how often smaller validation sets would have selected the same setting; "" if this is unknown."""
    if not comparison.stability:
        return ""
    sizes = listed(f"{each.per_class}" for each in comparison.stability)
    shares = listed((f"{100 * each.share:.0f}" for each in comparison.stability), "and")
    images = best.runs[0].images("validation")
    instead = f" instead of all {images}" if images else ""
    return (
        f"Selection: with {sizes} validation images per class{instead}, the same setting would have been selected in "
        f"{shares} % of draws."
    )


def confirmation_sentence(folder: Path, comparison: Comparison | None = None) -> str:
    """State the result of `semisup confirm` for the sweep in `folder`; "" if no confirmation was started.

    Args:
        folder: folder of the sweep.
        comparison: comparison of the sweep, without the runs of the confirmation; None = it is made, if the runs of the
            sweep can be read.
    """
    result = read_confirmation(folder)
    if result is None:
        return ""
    plan, row = result
    settings = format_settings(plan.settings) or "the only setting"
    if row is None or len(row.runs) < len(plan.seeds):
        done = 0 if row is None else len(row.runs)
        command = f"semisup confirm {shell_quote(folder)} --seeds {len(plan.seeds)}"
        return f"Confirmation of {settings}: {done} of {len(plan.seeds)} seeds are finished; to continue: {command}"
    accuracy = f"{row.split} {measure_name(row)} {format_mean_std(row.score(row.split), unit=100)} %"
    added = ""
    if plan.earlier_numbers:
        numbers = listed(map(str, plan.earlier_numbers), "and")
        added = f" (seeds were added after the results of {numbers}; see docs/statistics.md)"
    lines = [f"Confirmed on {len(row.runs)} fresh seeds{added}: {settings}: {accuracy}."]
    if comparison is None:
        with contextlib.suppress(DataError):
            comparison = compare_runs(read_runs(find_runs([folder])))
    declared = None if comparison is None else declared_row(comparison, plan)
    for kind, head, reference in (
        (CONTROL, "Unlabeled images", "the control"),
        (LABELS_ONLY, AGAINST_LABELS, "the best labels-only runs of the sweep"),
    ):
        value = row.gains.get(kind)
        if value is None:
            lines.append(f"{head}: {missing_reason(row.references(kind), kind)}, so the gain is unknown.")
            continue
        text = _gain_text(row, value, value.interval, reference, confirmed=True)
        if kind == CONTROL and declared is not None and (sweep := declared.gains.get(CONTROL)):
            over = sweep.mean - value.mean
            text += f" The sweep had {'overstated' if over > 0 else 'understated'} it by {abs(over):.1f} points."
        lines.append(f"{head}: {text}")
    if comparison is not None:
        lines.append(_other_best(comparison, declared))
    return "\n".join(filter(None, lines))


def _other_best(comparison: Comparison, declared: Row | None) -> str:
    """State that a setting that was not confirmed is now the best of the sweep; "" if the confirmed one is the best.

    Args:
        comparison: comparison of the sweep.
        declared: the row of the confirmed setting.
    """
    best = comparison.best
    if best is None or declared is None or best is declared:
        return ""
    tie = mean_validation_score(best.runs) == mean_validation_score(declared.runs)
    state = "has the same validation score" if tie else "is now better on validation"
    return f"In the sweep, {format_settings(best.settings)} {state}; it is not confirmed."


def _early_weights(row: Row) -> str:
    """If the best model is from a step before the first use of pseudo-labels, write a warning; else return ""."""
    steps = [pair for run in row.runs if (pair := chosen_before_selection(run))]
    if not steps:
        return ""
    part = "" if len(row.runs) == 1 else f" of {len(steps)} of {len(row.runs)} {_unit(row)}"
    best, first = (_range([pair[end] for pair in steps]) for end in (0, 1))
    return f" The best weights{part} are of step {best}, before the first pseudo-label was used (step {first})."


def _range(steps: list[float]) -> str:
    return f"{min(steps):.0f}" + (f" to {max(steps):.0f}" if max(steps) > min(steps) else "")


def _unit(row: Row) -> str:
    return "seeds" if row.runs[0].fold is None else "runs"


def _is_unused(row: Row) -> bool:
    """Whether no run of a setting used pseudo-labels.

    This is assumed if every run has the accuracy of its control, and its last labeling selected no image.
    """
    return all(pair.points == 0 for pair in row.controls) and not any(run.number("pseudo/coverage") for run in row.runs)


def _sampling_error(row: Row) -> str:
    """State the standard error of the accuracy that results from the number of evaluated images."""
    images, value = row.runs[0].images(row.split), row.accuracy(row.split)
    if images is None or value is None or row.runs[0].measure != ACCURACY:
        return ""
    error = 100 * math.sqrt(value.mean * (1 - value.mean) / images)
    if error == 0:  # all images are correct, or none
        return f", and one of the {images} {row.split} images is {100 / images:.1f} points"
    return f", and the standard error over {images} {row.split} images is {error:.1f} points"
