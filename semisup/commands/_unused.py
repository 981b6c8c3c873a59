"""Why a run that could use unlabeled images used none."""

from typing import Any

from semisup.build import Checked


def why_unused(checked: Checked, summary: dict[str, Any]) -> str:
    """One line of a finished run; "" where it used some, or was not to."""
    if not checked.settings.method.uses_unlabeled or summary.get("pseudo/coverage"):
        return ""
    if "pseudo/coverage" in summary:
        why = "nothing reached the threshold; a lower one keeps more (what_if.csv has how much)"
    else:
        gate, best = checked.plain["method"].get("gate"), summary["best/val/accuracy"]
        why = (
            f"validation never passed method.gate={gate} when the pool was due to be labeled (its best was {best:.3f})"
        )
        why += "; a lower gate, or more steps, lets it"
    return f"no pseudo-label was used: {why}"
