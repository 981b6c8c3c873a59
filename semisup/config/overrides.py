"""Convert a saved config to command-line words from which Hydra composes the same config."""

from semisup.config.nodes import GROUP_NODES
from semisup.config.quoting import format_value
from semisup.config.run_id import ConfigDict, dataset_keys

NOT_OVERRIDES = ("name", "seed", "output_root", "definitions")
"""Keys that are not converted, because the caller chooses them or the program sets them."""


def config_overrides(config: ConfigDict, *, follow_seed: bool = False) -> list[str]:
    """List the overrides of `semisup train` that compose this config: options first, then every setting.

    Args:
        config: saved config of a run.
        follow_seed: if the seed of the data split equals the seed of the run, write it as `${seed}`, so that a run with
            another seed also gets another split.

    Returns:
        KEY=VALUE words as Hydra parses them, without name, seed, output_root and definitions.
    """
    from semisup.dataset import KeyRole  # which imports torch

    split_seeds = dataset_keys(config["dataset"], KeyRole.SPLIT_SEED) if follow_seed else []
    options, settings = [], []
    for key, value in config.items():
        if key in NOT_OVERRIDES:
            continue
        if not isinstance(value, dict):
            settings.append(f"{key}={format_value(value)}")
            continue
        if key in GROUP_NODES:
            group = GROUP_NODES[key]
            options.append(f"{group}={value['name']}" if group == key else f"{group}@{key}={value['name']}")
        for inner, leaf in value.items():
            if key in GROUP_NODES and inner == "name":
                continue
            follows = key == "dataset" and inner in split_seeds and leaf == config["seed"]
            settings.append(f"{key}.{inner}={'${seed}' if follows else format_value(leaf)}")
    return options + settings
