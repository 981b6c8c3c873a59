"""Explain why a run whose method uses pseudo-labels used none."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semisup.analysis.run_history import first_selection, last_threshold_curve, read_metric_rows
from semisup.analysis.runs import Run, as_number
from semisup.config.schema import RunConfig
from semisup.record.curves import POOL


def explain_unused(run_config: RunConfig, folder: Path, summary: dict[str, Any]) -> str:
    """Explain in one line why the finished run in `folder` used no pseudo-label.

    Returns:
        "" if the run used a pseudo-label, or its method uses none.
    """
    reason = summary.get("unused_reason") or find_unused_reason(run_config, folder, summary, None)
    return f"no pseudo-label was used: {reason}" if reason else ""


def find_unused_reason(
    run_config: RunConfig, folder: Path, summary: dict[str, Any], chance: Callable[[], float] | None
) -> str:
    """Find the reason why the run in `folder` used no pseudo-label; the reason is stored in its summary.json.

    Args:
        chance: function that computes the highest validation accuracy that guessing can be expected to reach. It is
            called only if the reason depends on it, because it imports scipy. None = unknown.

    Returns:
        "" if the run used a pseudo-label at any time, or its method uses none.
    """
    config = run_config.config
    if config["method"].get("lambda_unlabeled") == 0:  # then `uses_unlabeled` is False as well
        return _reason(config, summary, folder)
    if not run_config.settings.method.uses_unlabeled or summary.get("pseudo/coverage") or first_selection(folder):
        return ""
    if "pseudo/coverage" in summary or "gate" not in config["method"]:
        return _reason(config, summary, folder)
    best = as_number(summary.get("best/val/accuracy")) or 0.0
    return _never_labeled(config, _due_accuracies(run_config, folder, summary), best, chance)


def unused_reason(run: Run) -> str:
    """Return the reason why a finished run used no pseudo-label; "" if it used one, or its method uses none.

    The reason in the summary of the run is returned if there is one.
    """
    if not run.done or not run.uses_unlabeled:
        return ""
    stored = run.summary.get("unused_reason")
    if isinstance(stored, str):
        return stored
    return (
        ""
        if run.number("pseudo/coverage") or first_selection(run.folder)
        else _reason(run.config, run.summary, run.folder)
    )


def _reason(config: dict[str, Any], summary: dict[str, Any], folder: Path) -> str:
    method = config["method"]
    if method.get("lambda_unlabeled") == 0:
        return "method.lambda_unlabeled=0 trains on the labels alone"
    if "pseudo/coverage" in summary:
        if rejected := as_number(summary.get("pseudo/rejected")):
            return _all_rejected(config["reject"], rejected)
        return f"no confidence reached the threshold; {_lower_threshold(config, folder)}"
    start, best = method.get("gate"), as_number(summary.get("best/val/accuracy")) or 0
    return (
        f"validation accuracy never exceeded method.gate={start} when the unlabeled set was due to be labeled "
        f"(its best was {best:.3f}); train longer{'' if start == 'auto' else ', or type a lower method.gate'}"
    )


def _all_rejected(reject: dict[str, Any], rejected: float) -> str:
    """Explain that no pseudo-label was used because images were rejected, alone or together with the threshold.

    Args:
        reject: section `reject` of the config: how images that seem to belong to no class are rejected.
        rejected: fraction of the unlabeled images that the last labeling rejected, in (0, 1].
    """
    key = "keep" if reject.get("limit") is None else "limit"
    value = as_number(reject.get(key))
    setting = f"reject={reject['name']}" if value is None else f"reject.{key}={value:g}"
    advice = "lower limit" if key == "limit" else "larger share, or reject=none"
    if rejected == 1:
        return f"{setting} rejects every unlabeled image; use a {advice}"
    return (
        f"no image that {setting} accepts reached the threshold ({rejected:.0%} of the unlabeled images are rejected); "
        f"use a lower threshold, or a {advice}"
    )


def _lower_threshold(config: dict[str, Any], folder: Path) -> str:
    """Suggest the highest `threshold.tau` below the present one that would have selected 10 % of the unlabeled images.

    The confidences in the last labeling are used. If no such threshold is found, or the threshold policy is not
    `fixed`, the text only suggests a lower threshold, without a value.
    """
    curve = last_threshold_curve(folder, POOL)
    generic = "a lower threshold selects more (what_if.csv shows how many)"
    if config["threshold"]["name"] != "fixed" or curve is None:
        return generic
    below = [(tau, share) for tau, share in curve.coverage if 0 < tau < config["threshold"]["tau"]]
    enough = [(tau, share) for tau, share in below if share >= 0.1]
    if not enough:
        return generic
    tau, share = max(enough)
    return (
        f"threshold.tau={tau:g} would have selected {share:.0%} of the unlabeled images (what_if.csv has other values)"
    )


def _due_accuracies(run_config: RunConfig, folder: Path, summary: dict[str, Any]) -> dict[int, float]:
    """Collect the validation accuracies at the ends of epochs after which the method may label the unlabeled set.

    Returns:
        Epoch -> validation accuracy.
    """
    method, steps = run_config.settings.method, as_number(summary.get("steps"))
    due: dict[int, float] = {}
    for row in read_metric_rows(folder):
        step, epoch, accuracy = (as_number(row.get(name)) for name in ("step", "epoch", "val/accuracy"))
        if step is None or epoch is None or accuracy is None or step == steps:  # nothing is labeled after the last step
            continue
        if int(epoch) not in due and epoch >= 1 and method.needs_evaluation(int(epoch)):
            due[int(epoch)] = accuracy  # the first row of an epoch number is that of its end
    return due


def _never_labeled(
    config: dict[str, Any], due: dict[int, float], best: float, chance_of: Callable[[], float] | None
) -> str:
    gate, every = config["method"].get("gate"), config["method"].get("refresh_every")
    if not due:
        return (
            f"the unlabeled set was never due to be labeled (method.refresh_every={every}); train longer, or lower "
            "method.refresh_every"
        )
    chance = None if chance_of is None else chance_of()
    highest, limit = max(due.values()), chance if gate == "auto" else gate
    when = ", ".join(map(str, list(due)[:3])) + (", ..." if len(due) > 3 else "")
    number = f" ({chance:.3f})" if gate == "auto" and chance is not None else ""
    reason = (
        f"validation accuracy never exceeded method.gate={gate}{number} when the unlabeled set was due to be labeled "
        f"(after epoch {when}: at most {highest:.3f})"
    )
    if limit is not None and best > limit >= highest:
        lower = "method.refresh_every" if gate == "auto" else "method.gate or method.refresh_every"
        return f"{reason}, but did at another time ({best:.3f}); lower {lower}"
    if gate != "auto" and (chance is None or highest > chance):
        below = _below(highest)
        gate = "auto" if below <= (chance or 0) else format(below, "g")
        return f"{reason}; train longer, or type method.gate={gate}{_encoder_hint(config)}"
    guessing = "" if chance is None or gate == "auto" else f", and guessing may reach {chance:.3f}"
    longer = _twice_as_long(config["train"])
    return f"{reason}{guessing}; label more images, or train longer: {longer}{_encoder_hint(config)}"


def _encoder_hint(config: dict[str, Any]) -> str:
    """Suggest a pretrained encoder if the run trained on the user's own images without one; else return ""."""
    if config["dataset"]["name"] != "folder" or config["encoder"]["name"] != "none":
        return ""
    return "; with few labels, experiment=photographs uses a pretrained encoder and is better"


def _twice_as_long(train: dict[str, Any]) -> str:
    key = "epochs" if train["steps"] is None else "steps"
    return f"train.{key}={2 * train[key]}"


def _below(accuracy: float) -> float:
    """Compute 0.9 times an accuracy, rounded down to two decimals, as a suggestion for `method.gate`."""
    return math.floor(90 * accuracy) / 100
