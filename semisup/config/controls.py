"""The reference runs that a run is compared with; all of them are trained on labels only.

    control       the same run with lambda_unlabeled=0 and as many optimizer steps: the effect of the unlabeled images
    baseline      supervised, no augmentation, and only as many steps as the run spent on labeled images
    labels only   supervised with as many steps, on the other view and without augmentation; the best of these and the
                  control on validation is the best labels-only run

A run with lambda_unlabeled=0 is its own control.
"""

from collections.abc import Mapping
from typing import Any

from semisup.config import registry
from semisup.config.run_id import ConfigDict, result_config

REFERENCE_KINDS = ("control", "baseline", "labels_only", "labels_only_none")
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
    """Build the configs of the runs that are trained beside a finished run, by kind: the keys are REFERENCE_KINDS."""
    references = {"control": control_config(config, summary), "baseline": baseline_config(config, summary)}
    return references | labels_only_configs(config, summary)


def labels_only_configs(config: ConfigDict, summary: Mapping[str, Any]) -> dict[str, ConfigDict]:
    """Build the configs of further runs from which, with the control, the best labels-only run is chosen.

    All are supervised and take as many optimizer steps as the run. They depend on no setting of method, threshold and
    labeler, so that a sweep shares them.

    Returns:
        `labels_only`: on the views that the control does not train on, the weak ones or the run's augmentation;
        `labels_only_none`: without augmentation.
    """
    steps = _train_for(config, summary["steps"])
    method: Any = registry.settings_class("method", config["method"]["name"])
    other_view = config["augment"] if method.uses_weak else config["weak"]
    supervised = config | {"method": SUPERVISED, "train": steps}
    return {
        "labels_only": supervised | {"augment": other_view},
        "labels_only_none": supervised | {"augment": NO_AUGMENTATION},
    }


def uses_unlabeled(config: ConfigDict) -> bool:
    """Whether unlabeled images can have an effect in a run with this config."""
    return "threshold" in result_config(config)


def _train_for(config: ConfigDict, steps: int) -> ConfigDict:
    """Build the `train` section with a number of optimizer steps in place of epochs, and without early stopping."""
    train: ConfigDict = config["train"]
    return train | {"epochs": None, "steps": steps, "patience": None}
