"""Settings of runs as flat dictionaries: compare them, sort by them, and format them."""

import json
from collections import defaultdict
from typing import Any

from semisup.analysis.runs import Run, as_number
from semisup.config.run_id import dataset_keys, omitted_options
from semisup.dataset import KeyRole
from semisup.text import escape

FlatSettings = dict[str, Any]
"""Settings of a run without seed and fold, as dotted key -> value."""

LABELS = "labels_per_class"
"""Key of a data set with the number of labeled images per class."""

LENGTHS = ("train.steps", "train.epochs")
"""Settings of the length of a run. Reference runs that differ only in these settings are grouped together."""


def canonical(value: Any) -> str:
    """Convert settings to text that is equal for equal settings: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{canonical(value[key])}" for key in sorted(value, key=str)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if type(value) is int else json.dumps(value, default=str)


def settings_but_length(flat: FlatSettings) -> str:
    """Convert settings to text that is equal for runs that differ only in seed, fold and number of steps."""
    return canonical({key: value for key, value in flat.items() if key not in LENGTHS})


def sort_key(value: Any) -> tuple[int, float, str]:
    """Return a key that sorts missing values first, then numbers by size, then text."""
    if (size := as_number(value)) is not None:
        return (1, float(size), "")
    return (0, 0.0, "") if value is None else (2, 0.0, canonical(value))


def format_settings(settings: FlatSettings) -> str:
    """Format settings as `threshold.tau=0.95 augment.strength=0.5`, with control characters escaped."""
    return " ".join(f"{escape(key)}={escape(value)}" for key, value in settings.items())


def flat_settings(runs: list[Run]) -> dict[str, FlatSettings]:
    """Convert the settings of each run to dotted key -> value, without seed and fold.

    The name of an option without effect, such as `reject.name=none`, is included only if another run has another option
    of this group, such as `reject.name=energy`. The seed of the data split is left out if,
    in every run of a group with otherwise equal settings, it equals the seed of the run.

    Returns:
        Run folder -> settings.
    """
    groups = {group for run in runs for group in run.identity}
    flats = {
        str(run.folder): flatten(run.identity)
        | {f"{group}.name": name for group, name in omitted_options(run.identity).items() if group in groups}
        for run in runs
    }
    alike = defaultdict(list)
    for run in runs:
        flat = flats[str(run.folder)]
        for key in ("seed", *(f"dataset.{each}" for each in dataset_keys(run.identity["dataset"], KeyRole.FOLD))):
            flat.pop(key, None)
        seeds = {f"dataset.{key}" for key in dataset_keys(run.identity["dataset"], KeyRole.SPLIT_SEED)}
        rest = {key: value for key, value in flat.items() if key not in seeds}
        alike[canonical(rest)].append((flat, seeds, run.seed))
    for group in alike.values():
        if all(flat.get(key) == seed for flat, seeds, seed in group for key in seeds):
            for flat, seeds, _ in group:
                for key in seeds:
                    flat.pop(key, None)
    return flats


def flatten(node: dict[str, Any], prefix: str = "") -> FlatSettings:
    """Convert nested settings to a flat dict with dotted keys, such as `threshold.tau`."""
    flat: FlatSettings = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def varied_settings(flats: list[FlatSettings]) -> list[str]:
    """List the settings that differ between runs: those of `threshold`, then those of `augment`, then all others.

    If a run does not have a setting, this does not count as a difference.
    """
    values = defaultdict(set)
    for flat in flats:
        for key, value in flat.items():
            values[key].add(canonical(value))
    varied = [key for key, texts in values.items() if len(texts) > 1]
    return sorted(varied, key=lambda key: (not key.startswith("threshold."), not key.startswith("augment.")))
