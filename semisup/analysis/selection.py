"""Choose the validation metric by which a comparison ranks settings: that of `train.select_by`, if all runs agree."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from semisup.analysis.runs import ACCURACY, BALANCED_ACCURACY, Run
from semisup.text import counted, escape, listed

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
    return list(runs) if _without_scores(runs, metrics[0]) else [replace(run, select_by=metrics[0]) for run in runs]


def selection_note(runs: Sequence[Run], chosen: Sequence[Run]) -> str:
    """Write a sentence saying why the settings are ranked by accuracy; "" if they are ranked by `train.select_by`.

    Args:
        runs, chosen: as in `with_selection`.
    """
    metrics = selection_metrics(chosen)
    if not metrics or metrics == [ACCURACY]:
        return ""
    if len(metrics) == 1:
        if not (count := len(_without_scores(runs, metrics[0]))):
            return ""
        name, finished = METRIC_NAMES[metrics[0]], counted(sum(run.is_comparable for run in runs), "finished run")
        return f"{count} of {finished} did not record {name} (train.select_by), so the settings are ranked by accuracy."
    values = listed(map(escape, metrics), "and")
    return f"The runs have several values of train.select_by ({values}), so the settings are ranked by accuracy."


def _without_scores(runs: Iterable[Run], metric: str) -> list[Run]:
    """List the finished runs that did not record the metric on validation, or on test if they have a test accuracy."""
    return [run for run in runs if run.is_comparable and not _has_scores(replace(run, select_by=metric))]


def _has_scores(run: Run) -> bool:
    splits = ["validation"] if run.accuracy("test") is None else ["validation", "test"]
    return run.validation_score is not None and all(run.score(split) is not None for split in splits)
