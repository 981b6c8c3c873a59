"""Compare runs separately for each data set, because accuracies on different data sets cannot be compared."""

from collections import defaultdict

from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.run_settings import canonical
from semisup.analysis.runs import Run
from semisup.text import escape

UNKNOWN_DATASET = "unreadable data set"


def dataset_label(run: Run) -> str:
    """Return the name of a run's data set: `digits`, or `folder (photos)`; "" if its settings cannot be read."""
    node = run.identity.get("dataset")
    if not isinstance(node, dict):
        return ""
    name, root = node.get("name"), node.get("root")
    return escape(name) if root in (None, name) else f"{escape(name)} ({escape(root)})"


def compare_by_dataset(runs: list[Run]) -> list[Comparison]:
    """Compare the runs of each data set separately, in the order of the data sets' names."""
    labels = {id(run): dataset_label(run) for run in runs}
    names = sorted(set(labels.values()) - {""})
    if len(names) < 2:
        return [compare_runs(runs)]
    parts = [(name, [run for run in runs if labels[id(run)] == name]) for name in [*names, ""]]
    return [compare_runs(part, data_set=name or UNKNOWN_DATASET) for name, part in parts if part]


def changed_datasets(runs: list[Run]) -> list[str]:
    """List the data sets whose images or labels changed between runs.

    Such runs have the same settings of the data set, but different fingerprints (checksums of its content).
    """
    fingerprints: dict[str, set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    for run in runs:
        if run.fingerprint is not None and run.identity:
            key = canonical(run.identity["dataset"])
            fingerprints[key].add(run.fingerprint)
            names[key] = dataset_label(run)
    return sorted({names[key] for key, values in fingerprints.items() if len(values) > 1})
