"""The reference runs that a run is compared with; all of them are trained on labels only.

    control       the same run with lambda_unlabeled=0 and as many optimizer steps: the effect of the unlabeled images
    baseline      supervised, no augmentation, and only as many steps as the run spent on labeled images
    labels only   supervised with as many steps, under each augmentation that could serve as well as the run's method

A run with lambda_unlabeled=0 is its own control.
"""

from collections.abc import Mapping
from typing import Any

from semisup.config.run_id import ConfigDict, result_config, run_id

REFERENCE_KINDS = ("control", "baseline")
"""Keys of `reference_configs`."""

SUPERVISED = {"name": "supervised"}
NO_AUGMENTATION = {"name": "none", "strength": 0.0}


def control_config(config: ConfigDict, summary: Mapping[str, Any]) -> ConfigDict:
    """Build the control's config: the run with lambda_unlabeled=0 and as many optimizer steps as it took.

    Everything else stays, and what needs no unlabeled image stays active. For configs of version 0.1.0 (definitions
    1) the control keeps its old meaning: supervised under the run's augmentation, "strongly augmented control".

    Args:
        config: of the finished run.
        summary: the run's summary; `steps` is read.
    """
    if not uses_unlabeled(config):
        return config
    steps = _train_for(config, summary["steps"])
    if config["definitions"] < 2:
        return config | {"method": SUPERVISED, "train": steps}
    return config | {"method": config["method"] | {"lambda_unlabeled": 0.0}, "train": steps}


def baseline_config(config: ConfigDict, summary: Mapping[str, Any]) -> ConfigDict:
    """Build the baseline's config: supervised, no augmentation, as many steps as the run spent on labeled images."""
    steps = _train_for(config, summary["labeled_steps"])
    return config | {"method": SUPERVISED, "augment": NO_AUGMENTATION, "train": steps}


def reference_configs(config: ConfigDict, summary: Mapping[str, Any]) -> dict[str, ConfigDict]:
    """Build the configs of the control and the baseline of a finished run."""
    return {"control": control_config(config, summary), "baseline": baseline_config(config, summary)}


def labels_only_configs(config: ConfigDict, summary: Mapping[str, Any]) -> dict[str, ConfigDict]:
    """Build the configs of the supervised runs from which an analysis chooses the best labels-only run.

    They take as many optimizer steps as the run, and depend on none of the method's, threshold's and labeler's
    settings: a sweep shares them.

    Returns:
        One config per augmentation: `augment` (the run's), `weak` and `none`; equal runs only once.
    """
    steps = _train_for(config, summary["steps"])
    augmentations = {"augment": config["augment"], "weak": config["weak"], "none": NO_AUGMENTATION}
    configs = {
        name: config | {"method": SUPERVISED, "augment": augment, "train": steps}
        for name, augment in augmentations.items()
    }
    first_names: dict[str, str] = {}
    for name, each in configs.items():
        first_names.setdefault(run_id(each), name)
    return {name: configs[name] for name in first_names.values()}


def uses_unlabeled(config: ConfigDict) -> bool:
    """Whether unlabeled images can have an effect in a run with this config."""
    return "threshold" in result_config(config)


def _train_for(config: ConfigDict, steps: int) -> ConfigDict:
    """Build the `train` section with a number of optimizer steps in place of epochs."""
    train: ConfigDict = config["train"]
    return train | {"epochs": None, "steps": steps}
