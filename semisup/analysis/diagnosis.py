"""Explain why a run that could use unlabeled images used none."""

from pathlib import Path
from typing import Any

from semisup.analysis.run_history import first_selection
from semisup.analysis.runs import Run, as_number
from semisup.config.schema import RunConfig


def explain_unused(run_config: RunConfig, folder: Path, summary: dict[str, Any]) -> str:
    """One line for the finished run in `folder`; "" if it used a pseudo-label, or its method uses none."""
    if not run_config.settings.method.uses_unlabeled or summary.get("pseudo/coverage") or first_selection(folder):
        return ""
    return f"no pseudo-label was used: {_reason(run_config.config, summary)}"


def unused_reason(run: Run) -> str:
    """Why the finished run used no pseudo-label; "" if it used one, or its method uses none.

    The reason stored in the summary is preferred: the run knew more than its record shows.
    """
    if not run.done or not run.uses_unlabeled:
        return ""
    stored = run.summary.get("unused_reason")
    if isinstance(stored, str):
        return stored
    return "" if run.number("pseudo/coverage") or first_selection(run.folder) else _reason(run.config, run.summary)


def _reason(config: dict[str, Any], summary: dict[str, Any]) -> str:
    method = config["method"]
    if method.get("lambda_unlabeled") == 0:
        return "method.lambda_unlabeled=0 leaves the unlabeled images out"
    if "pseudo/coverage" in summary:
        return "no confidence reached the threshold; a lower one selects more (what_if.csv shows how many)"
    start, best = method.get("gate"), as_number(summary.get("best/val/accuracy")) or 0
    return (
        f"validation accuracy never reached method.gate={start} when a labeling was due (its best was {best:.3f}); "
        "a lower gate, or more steps, starts it"
    )
