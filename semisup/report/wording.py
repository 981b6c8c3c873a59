"""Sentences and numbers of a comparison: the best row, its gain over the control, and how far to trust it."""

import math
from collections import Counter
from dataclasses import replace

from semisup.analysis.comparison import Comparison, ReferenceGain, Row, Spread, format_settings, summarize
from semisup.analysis.diagnosis import unused_reason
from semisup.analysis.run_history import chosen_before_selection
from semisup.errors import escape

CONTROL_NOTE = "(labels only, the same augmentation, model and number of steps)"
BASELINE_NOTE = "(no augmentation, labeled passes only)"


def summary_sentence(comparison: Comparison) -> str:
    """State the best row on validation, its accuracy, and what the unlabeled images contributed."""
    best, prefix = comparison.best, f"{comparison.data_set}: " if comparison.data_set else ""
    if best is None:
        statuses = Counter(run.status for run in comparison.unfinished)
        return (
            f"{prefix}No run is finished yet: {', '.join(f'{count} {status}' for status, count in statuses.items())}."
        )
    parts = [f"{prefix}{_best_settings(comparison, best)}: {_accuracy(best)} {_seeds(len(best.runs))}"]
    if best.controls:
        parts.append(f"; {_gain(best.controls)} the control {CONTROL_NOTE}")
        parts.append(f", {_gain(best.baselines)} the plain baseline {BASELINE_NOTE}")
    return "".join(parts) + "." + _assessment(best)


def title(comparison: Comparison) -> str:
    """The summary as a short title of a figure."""
    best, prefix = comparison.best, f"{comparison.data_set}: " if comparison.data_set else ""
    if best is None:
        return f"{prefix}No run is finished yet"
    settings = f": {format_settings(best.settings)}" if best.settings else ""
    gain = mean_gain(best.controls)
    tail = f", {format_mean_std(gain, signed=True)} points over the control" if gain else ""
    tail += "" if gain is None or gain.is_significant or gain.deviation is None else " (within the spread)"
    accuracy = format_mean_std(best.accuracy(best.split), unit=100)
    return f"{prefix}Best on validation{settings}\n{best.split} {accuracy} %{tail}, {_seeds(len(best.runs))}"


def row_name(row: Row, max_letters: int = 60) -> str:
    """The row's settings, or its method, in at most `max_letters` letters."""
    text = format_settings(row.settings) or escape(row.runs[0].config["method"]["name"])
    return text if len(text) <= max_letters else text[: max_letters - 3] + "..."


def format_number(value: float | None, unit: float = 1.0, digits: int = 0, missing: str = "") -> str:
    """Format `unit * value`; `missing` if it is None."""
    return missing if value is None else f"{value * unit:.{digits}f}"


def format_percent(value: float | None) -> str:
    """`81.2 %`; `-` if it is None."""
    return "-" if value is None else f"{100 * value:.1f} %"


def format_mean_std(value: Spread | None, *, signed: bool = False, unit: float = 1.0) -> str:
    """`81.2 ± 1.1`; `unit` converts the values to percent or points."""
    if value is None:
        return "-"
    mean = f"{value.mean * unit:{'+' if signed else ''}z.1f}"
    return mean if value.deviation is None else f"{mean} ± {value.deviation * unit:.1f}"


def mean_gain(pairs: tuple[ReferenceGain, ...]) -> Spread | None:
    """Gain in percentage points over the runs whose reference is finished."""
    return summarize(pair.points for pair in pairs)


def missing_reason(pairs: tuple[ReferenceGain, ...], kind: str) -> str:
    """Why there is no gain: `no control`, `control failed`."""
    states = {pair.state for pair in pairs} - {"done"}
    worst = min(states - {"missing"}, default="missing")
    return f"no {kind}" if worst == "missing" else f"{kind} {worst}"


def format_gain(pairs: tuple[ReferenceGain, ...], kind: str) -> str:
    """Gain of a row for a table, or why there is none; "" for a row that has no references."""
    value = mean_gain(pairs)
    if value is None:
        return missing_reason(pairs, kind) if pairs else ""
    return format_mean_std(value, signed=True) + (
        "" if value.count == len(pairs) else f" ({value.count} of {len(pairs)})"
    )


def _best_settings(comparison: Comparison, best: Row) -> str:
    count = len(comparison.rows)
    text = f"Best of {count} settings, selected on validation" if count > 1 else "One setting"
    return f"{text}: {format_settings(best.settings)}" if best.settings else text


def _accuracy(row: Row) -> str:
    value = format_mean_std(row.accuracy(row.split), unit=100)
    note = "" if row.split == "test" else " (there is no test set)"
    return f"{row.split} accuracy {value} %{note}"


def _seeds(count: int) -> str:
    return "with one seed" if count == 1 else f"over {count} seeds"


def _gain(pairs: tuple[ReferenceGain, ...]) -> str:
    value = mean_gain(pairs)
    if value is None:
        return "an unknown gain over"
    part = "" if value.count == len(pairs) else f" ({value.count} of {len(pairs)} seeds)"
    if value.mean < 0:
        return f"{format_mean_std(replace(value, mean=-value.mean))} points{part} below"
    return f"{format_mean_std(value, signed=True)} points{part} over"


def _assessment(row: Row) -> str:
    """Sentences on how far to trust the gain of a row."""
    if not row.controls:
        return ""
    value = mean_gain(row.controls)
    if value is None:
        reason = missing_reason(row.controls, "control").capitalize()
        return f" {reason}: the effect of the unlabeled images is unknown."
    if _is_unused(row):
        reasons = dict.fromkeys(reason for run in row.runs if (reason := unused_reason(run)))
        tail = f": {escape(next(iter(reasons)))}." if reasons else " in the last labeling, and the gain is 0."
        return f" No pseudo-label was used{tail}"
    return _significance(row, value) + _early_weights(row)


def _early_weights(row: Row) -> str:
    """Warn where the selected weights are older than the first used pseudo-label, which cannot have affected them."""
    steps = [pair for run in row.runs if (pair := chosen_before_selection(run))]
    if not steps:
        return ""
    part = "" if len(row.runs) == 1 else f" of {len(steps)} of {len(row.runs)} seeds"
    best, first = (_range([pair[end] for pair in steps]) for end in (0, 1))
    return f" The best weights{part} are of step {best}, before the first pseudo-label was used (step {first})."


def _range(steps: list[float]) -> str:
    return f"{min(steps):.0f}" + (f" to {max(steps):.0f}" if max(steps) > min(steps) else "")


def _significance(row: Row, value: Spread) -> str:
    tail = ""
    if row.split != "test":
        tail = " Measured on the validation set used for selection, so it is optimistic."
    if value.deviation is None:
        return f" One seed has no spread{_sampling_error(row)}: the difference may be chance.{tail}"
    if value.mean < -value.deviation:
        return f" The unlabeled images did harm: the control is better by more than the spread over seeds.{tail}"
    if not value.is_significant:
        return f" The gain over the control is within the spread over seeds.{tail}"
    return f" The gain over the control exceeds the spread over seeds.{tail}"


def _is_unused(row: Row) -> bool:
    """Whether every run equals its control and no last labeling selected anything."""
    return all(pair.points == 0 for pair in row.controls) and not any(run.number("pseudo/coverage") for run in row.runs)


def _sampling_error(row: Row) -> str:
    """Standard error of an accuracy over the evaluated images."""
    images, value = row.runs[0].images(row.split), row.accuracy(row.split)
    if images is None or value is None:
        return ""
    error = 100 * math.sqrt(value.mean * (1 - value.mean) / images)
    return f", and the standard error over {images} {row.split} images is {error:.1f} points"
