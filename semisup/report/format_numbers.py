"""Format the numbers of a comparison: percentages, means with their spread, and gains."""

from collections.abc import Sequence

from semisup.analysis.rows import ReferenceGain
from semisup.analysis.runs import Run
from semisup.analysis.spread import Spread, summarize
from semisup.record.status import RunStatus


def format_number(value: float | None, unit: float = 1.0, digits: int = 0, missing: str = "") -> str:
    """Multiply a number by `unit` and format it with `digits` decimals; return `missing` for None."""
    return missing if value is None else f"{value * unit:.{digits}f}"


def format_percent(value: float | None) -> str:
    """Format a share in [0, 1] as `81.2 %`; return `-` if the value is None."""
    return "-" if value is None else f"{100 * value:.1f} %"


def format_mean_std(value: Spread | None, *, signed: bool = False, unit: float = 1.0) -> str:
    """Format mean and standard deviation as `81.2 ± 1.1`; return `-` if the value is None.

    Args:
        signed: whether a positive mean gets a plus sign.
        unit: factor that converts the values to percent or percentage points.
    """
    if value is None:
        return "-"
    mean = f"{value.mean * unit:{'+' if signed else ''}z.1f}"
    return mean if value.deviation is None else f"{mean} ± {value.deviation * unit:.1f}"


def mean_gain(pairs: tuple[ReferenceGain, ...]) -> Spread | None:
    """Compute mean and spread of the known gains of runs, in percentage points."""
    return summarize(pair.points for pair in pairs)


def format_selection(runs: Sequence[Run]) -> str:
    """Format the mean of the validation metric by which runs are ranked: `81.2%`, or for the loss `0.532`."""
    value = summarize(run.selection_value for run in runs)
    if value is None:
        return "-"
    return f"{value.mean:.3f}" if runs[0].select_by == "loss" else f"{100 * value.mean:.1f}%"


def missing_reason(pairs: tuple[ReferenceGain, ...], kind: str) -> str:
    """State why the gain of a row (the runs of one setting) is unknown: `no control`, `control failed`, ..."""
    states = {pair.state for pair in pairs} - {RunStatus.DONE}
    worst = min(states - {"missing"}, default="missing")
    return f"no {kind}" if worst == "missing" else f"{kind} {worst}"


def format_gain(pairs: tuple[ReferenceGain, ...], kind: str) -> str:
    """Format the gain of a row (the runs of one setting) for a table.

    Returns:
        The gain, or the reason why it is unknown; "" for a labels-only row.
    """
    value = mean_gain(pairs)
    if value is None:
        return missing_reason(pairs, kind) if pairs else ""
    return format_mean_std(value, signed=True) + (
        "" if value.count == len(pairs) else f" ({value.count} of {len(pairs)})"
    )
