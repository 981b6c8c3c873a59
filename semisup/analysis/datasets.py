"""Compare runs separately for each experiment and each data set.

Accuracies on different data sets cannot be compared. If one folder with several experiments is given, each experiment
is compared alone: an experiment can be the confirmation of another one, or repeat its runs.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.confirmation import is_confirmation
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


def split_experiments(runs: list[Run], folders: Sequence[Path]) -> list[tuple[Path, list[Run]]]:
    """Group runs whose results are compared with each other.

    Args:
        runs: the runs in the folders.
        folders: the folders as the user typed them. The runs of one folder are grouped by experiment; those of several
            folders are one group, without the folders of confirmations (`semisup confirm`).

    Returns:
        The folder of each group (of a group of several folders, the first one) and its runs, sorted by folder.
    """
    by_parent: dict[Path, list[Run]] = defaultdict(list)
    for run in runs:
        by_parent[run.folder.parent].append(run)
    if len(folders) < 2:
        return sorted(by_parent.items())
    groups: dict[Path, list[Run]] = defaultdict(list)
    together = next((parent for parent in by_parent if not is_confirmation(parent)), folders[0])
    for parent, own in by_parent.items():
        groups[parent if is_confirmation(parent) else together] += own
    return sorted(groups.items())


def compare_experiments(runs: list[Run], folders: Sequence[Path]) -> list[Comparison]:
    """Compare the runs of each experiment and each data set separately (see `split_experiments`)."""
    groups = split_experiments(runs, folders)
    if len(groups) < 2:
        return compare_by_dataset(runs)
    return [replace(each, experiment=folder) for folder, own in groups for each in compare_by_dataset(own)]


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
