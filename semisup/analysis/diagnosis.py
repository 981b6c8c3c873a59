"""Why a run that could use unlabeled images used none."""

from pathlib import Path
from typing import Any

from semisup.analysis.run_history import first_selection
from semisup.config.schema import RunConfig


def explain_unused(run_config: RunConfig, folder: Path, summary: dict[str, Any]) -> str:
    """One line of the finished run in `folder`; "" where it used some, ever, or was not to."""
    method = run_config.config["method"]
    if method.get("lambda_unlabeled") == 0:
        return "no pseudo-label was used: method.lambda_unlabeled=0 leaves them out"
    if not run_config.settings.method.uses_unlabeled or summary.get("pseudo/coverage") or first_selection(folder):
        return ""
    if "pseudo/coverage" in summary:
        why = "nothing reached the threshold; a lower one keeps more (what_if.csv has how much)"
    else:
        gate, best = method.get("gate"), summary["best/val/accuracy"]
        why = (
            f"validation never passed method.gate={gate} when the pool was due to be labeled (its best was {best:.3f})"
        )
        why += "; a lower gate, or more steps, lets it"
    return f"no pseudo-label was used: {why}"
