"""What a comparison comes to, in plain words: the best row, its gain over the control, and how far to trust it."""

import math
from collections import Counter
from dataclasses import replace

from semisup.analysis.comparison import Comparison, ReferenceGain, Row, Spread, format_settings, summarize
from semisup.analysis.run_history import chosen_before_selection

CONTROL_NOTE = "(labels only, the same augmentation, model and number of steps)"
BASELINE_NOTE = "(no augmentation, the labeled passes alone)"


def summary_sentence(comparison: Comparison) -> str:
    """The best row chosen on validation, what it does on test, and what unlabeled images have to do with it."""
    best, of = comparison.best, f"{comparison.data_set}: " if comparison.data_set else ""
    if best is None:
        statuses = Counter(run.status for run in comparison.unfinished)
        return f"{of}No run is finished yet: {', '.join(f'{count} {status}' for status, count in statuses.items())}."
    parts = [f"{of}{_which(comparison, best)}: {_accuracy(best)} {_over(len(best.runs))}"]
    if best.controls:
        parts.append(f"; {_gain(best.controls)} the control {CONTROL_NOTE}")
        parts.append(f", {_gain(best.baselines)} the plain baseline {BASELINE_NOTE}")
    return "".join(parts) + "." + _verdict(best)


def title(comparison: Comparison) -> str:
    """The same in one short line, for a picture."""
    best, of = comparison.best, f"{comparison.data_set}: " if comparison.data_set else ""
    if best is None:
        return f"{of}No run is finished yet"
    where = f": {format_settings(best.settings)}" if best.settings else ""
    over = mean_gain(best.controls)
    tail = f", {format_mean_std(over, signed=True)} points over the control" if over else ""
    tail += "" if over is None or over.clear or over.deviation is None else " (not clear of the spread)"
    accuracy = format_mean_std(best.accuracy(best.split), unit=100)
    return f"{of}Best on validation{where}\n{best.split} {accuracy} %{tail}, {_over(len(best.runs))}"


def format_mean_std(value: Spread | None, *, signed: bool = False, unit: float = 1.0) -> str:
    """`81.2 ± 1.1`; `unit` is what the values are multiplied with to be percent or points."""
    if value is None:
        return "-"
    mean = f"{value.mean * unit:{'+' if signed else ''}z.1f}"
    return mean if value.deviation is None else f"{mean} ± {value.deviation * unit:.1f}"


def mean_gain(pairs: tuple[ReferenceGain, ...]) -> Spread | None:
    """Percentage points over the runs that have what they must be measured against."""
    return summarize(pair.points for pair in pairs)


def missing_reason(pairs: tuple[ReferenceGain, ...], kind: str) -> str:
    """Why there is no gain to tell: `no control`, `control failed`."""
    states = {pair.state for pair in pairs} - {"done"}
    worst = min(states - {"missing"}, default="missing")
    return f"no {kind}" if worst == "missing" else f"{kind} {worst}"


def _which(comparison: Comparison, best: Row) -> str:
    count = len(comparison.rows)
    of = f"Best of {count} settings, chosen on validation" if count > 1 else "One setting"
    return f"{of}: {format_settings(best.settings)}" if best.settings else of


def _accuracy(row: Row) -> str:
    value = format_mean_std(row.accuracy(row.split), unit=100)
    none = "" if row.split == "test" else " (there is no test set)"
    return f"{row.split} accuracy {value} %{none}"


def _over(count: int) -> str:
    return "with one seed" if count == 1 else f"over {count} seeds"


def _gain(pairs: tuple[ReferenceGain, ...]) -> str:
    value = mean_gain(pairs)
    if value is None:
        return "an unknown gain over"
    some = "" if value.count == len(pairs) else f" ({value.count} of {len(pairs)} seeds)"
    if value.mean < 0:
        return f"{format_mean_std(replace(value, mean=-value.mean))} points{some} below"
    return f"{format_mean_std(value, signed=True)} points{some} over"


def _verdict(row: Row) -> str:
    if not row.controls:
        return ""
    value = mean_gain(row.controls)
    if value is None:
        return f" There is {missing_reason(row.controls, 'control')}, so nobody can say what the unlabeled images gave."
    if _unused(row):
        return " No unlabeled image was used: the gate was never passed, or nothing reached the threshold."
    return _of_the_gain(row, value) + _too_early(row)


def _too_early(row: Row) -> str:
    """Where validation chose weights from before any pseudo-label: they show nothing of what those gave."""
    found = [steps for run in row.runs if (steps := chosen_before_selection(run))]
    if not found:
        return ""
    some = "" if len(row.runs) == 1 else f" of {len(found)} of {len(row.runs)} seeds"
    chosen, first = (_range([pair[position] for pair in found]) for position in (0, 1))
    return f" The best weights{some} are of step {chosen}, before the first pseudo-label counted (step {first})."


def _range(steps: list[float]) -> str:
    return f"{min(steps):.0f}" + (f" to {max(steps):.0f}" if max(steps) > min(steps) else "")


def _of_the_gain(row: Row, value: Spread) -> str:
    tail = "" if row.split == "test" else " It is told on the images that chose it, so it flatters."
    if value.deviation is None:
        return f" One seed has no spread{_of_images(row)}: the difference may be chance.{tail}"
    if value.mean < -value.deviation:
        return f" The unlabeled images did harm: the control is better by more than the spread over seeds.{tail}"
    if not value.clear:
        return f" The gain over the control is not clear of the spread over seeds.{tail}"
    return f" The gain over the control is clear of the spread over seeds.{tail}"


def _unused(row: Row) -> bool:
    """Each run is its control to the last bit, and its last labeling, if any, kept nothing."""
    return all(pair.points == 0 for pair in row.controls) and not any(run.number("pseudo/coverage") for run in row.runs)


def _of_images(row: Row) -> str:
    """How far an accuracy moves by the choice of the images alone: one standard error."""
    images, value = row.runs[0].images(row.split), row.accuracy(row.split)
    if images is None or value is None:
        return ""
    error = 100 * math.sqrt(value.mean * (1 - value.mean) / images)
    return f", and {images} {row.split} images alone leave ± {error:.1f} points"
