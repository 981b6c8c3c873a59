"""Choose the validation metric by which a comparison ranks settings: that of `train.select_by`, if all runs agree."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from semisup.analysis.runs import ACCURACY, BALANCED_ACCURACY, Run
from semisup.text import escape, listed

METRIC_NAMES = {
    ACCURACY: "accuracy",
    BALANCED_ACCURACY: "balanced accuracy",
    "macro_f1": "macro F1",
    "loss": "loss",
}
"""Value of `train.select_by` -> its name in reports."""


def selection_metrics(runs: Iterable[Run]) -> list[str]:
    """List the different values that `train.select_by` has in the runs, sorted."""
    return sorted({str(run.config["train"]["select_by"]) for run in runs})


def with_selection(runs: Sequence[Run], chosen: Sequence[Run]) -> list[Run]:
    """Return the runs with `Run.select_by` set to the metric by which the comparison ranks them.

    The metric is the value of `train.select_by` in the chosen runs. It is accuracy if they have several values, or if a
    finished run, such as one of an earlier version, did not record the metric.

    Args:
        runs: all runs of a comparison, including reference runs (labels-only runs over which gains are computed).
        chosen: the finished runs, without reference runs.
    """
    metrics = selection_metrics(chosen)
    if len(metrics) != 1 or metrics[0] == ACCURACY:
        return list(runs)
    ranked = [replace(run, select_by=metrics[0]) for run in runs]
    complete = all(_has_scores(run) for run in ranked if run.done and not run.refit)
    return ranked if complete else list(runs)


def selection_note(runs: Iterable[Run]) -> str:
    """Write a sentence saying that the runs have several values of `train.select_by`; "" if they have one value."""
    metrics = selection_metrics(runs)
    if len(metrics) < 2:
        return ""
    values = listed(map(escape, metrics), "and")
    return f"The runs have several values of train.select_by ({values}), so the settings are ranked by accuracy."


def _has_scores(run: Run) -> bool:
    splits = ["validation"] if run.accuracy("test") is None else ["validation", "test"]
    return run.validation_score is not None and all(run.score(split) is not None for split in splits)
