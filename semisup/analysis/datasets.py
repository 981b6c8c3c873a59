"""Which data set a run is of: accuracies of one say nothing about another, so each is compared by itself.

Several splits of one data set are settings of it like any other, and become columns. Whether the images themselves
changed between two runs of the same settings, only the fingerprints tell.
"""

from collections import defaultdict

from semisup.analysis.comparison import Comparison, canonical, compare_runs
from semisup.analysis.runs import Run
from semisup.errors import escape

UNKNOWN_DATASET = "no data set that could be read"


def dataset_label(run: Run) -> str:
    """`digits`, or `folder (photos)`; "" where the run's settings cannot be read."""
    node = run.identity.get("dataset")
    if not isinstance(node, dict):
        return ""
    name, root = node.get("name"), node.get("root")
    return escape(name) if root in (None, name) else f"{escape(name)} ({escape(root)})"


def compare_by_dataset(runs: list[Run]) -> list[Comparison]:
    """One comparison a data set, by name; one of all runs where there is one data set."""
    names = {id(run): dataset_label(run) for run in runs}
    known = sorted(set(names.values()) - {""})
    if len(known) < 2:
        return [compare_runs(runs)]
    parts = [(name, [run for run in runs if names[id(run)] == name]) for name in [*known, ""]]
    return [compare_runs(some, data_set=name or UNKNOWN_DATASET) for name, some in parts if some]


def changed_settings(runs: list[Run]) -> list[str]:
    """The data sets of which some runs saw other images than others, though their settings are the same."""
    seen: dict[str, set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    for run in runs:
        if run.fingerprint is not None and run.identity:
            key = canonical(run.identity["dataset"])
            seen[key].add(run.fingerprint)
            names[key] = dataset_label(run)
    return sorted({names[key] for key, several in seen.items() if len(several) > 1})
