"""Derive the configs of reference runs: runs on labels only, with which a run is compared.

    control           the run with lambda_unlabeled=0 and the same number of optimizer steps; the difference in
                      accuracy is the effect of the unlabeled images
    baseline          supervised training without augmentation; it has as many steps as the run has steps in which
                      labeled images are used
    labels_only       supervised training with the number of steps of the run, with the augmentation that the control
                      does not use: the weak or the strong one
    labels_only_none  supervised training with the number of steps of the run, without augmentation
    probes            logistic regression and nearest neighbors on the features of an encoder; no network is trained

The best labels-only run is the one with the best validation metric among the control, the two labels-only runs and
the probes. A run with lambda_unlabeled=0 is its own control.
"""

from collections.abc import Mapping
from typing import Any

from semisup.config import registry
from semisup.config.run_id import ConfigDict, result_config
from semisup.core.probe_grids import GRIDS

REFERENCE_KINDS = ("control", "baseline", "labels_only", "labels_only_none")
"""Kinds of reference runs of every run that uses unlabeled images."""

PROBE_KINDS = tuple(GRIDS)
"""Further kinds of reference runs, for runs on the features of an encoder."""

SUPERVISED = {"name": "supervised"}
NO_AUGMENTATION = {"name": "none", "strength": 0.0}
UNUSED_BY_PROBES: ConfigDict = {
    "method": SUPERVISED,
    "model": {"name": "linear", "scale": 1.0},
    "loss": {"name": "cross_entropy"},
    "debias": {"name": "none"},
    "augment": NO_AUGMENTATION,
    "weak": NO_AUGMENTATION,
    "reject": {"name": "none"},
    "precision": "float32",
    "compile": False,
    "from": {"run": None, "checkpoint": None},
}
"""Fixed values for the settings that have no effect on a probe (a classifier fitted to an encoder's features)."""


def control_config(config: ConfigDict, summary: Mapping[str, Any]) -> ConfigDict:
    """Build the config of the control: the run with lambda_unlabeled=0 and the same number of optimizer steps.

    All other settings are unchanged. For a run of semisup 0.1.0 (`definitions` is 1), the control is supervised
    training with the augmentation of the run.

    Args:
        config: config of the finished run.
        summary: summary of the finished run; only `steps` is read.

    Returns:
        The config; `config` itself if the run uses no unlabeled images.
    """
    if not uses_unlabeled(config):
        return config
    steps = _train_for(config, summary["steps"])
    if config["definitions"] < 2:
        return config | {"method": SUPERVISED, "train": steps}
    return config | {"method": config["method"] | {"lambda_unlabeled": 0.0}, "train": steps}


def baseline_config(config: ConfigDict, summary: Mapping[str, Any]) -> ConfigDict:
    """Build the config of the baseline: supervised training without augmentation.

    Its number of optimizer steps is the number of steps in which the run used labeled images (`labeled_steps` in its
    summary).
    """
    steps = _train_for(config, summary["labeled_steps"])
    return config | {"method": SUPERVISED, "augment": NO_AUGMENTATION, "train": steps}


def reference_configs(config: ConfigDict, summary: Mapping[str, Any]) -> dict[str, ConfigDict]:
    """Build the configs of all reference runs of a finished run.

    Returns:
        Kind of reference run (`control`, `baseline`, ...) -> config.
    """
    references = {"control": control_config(config, summary), "baseline": baseline_config(config, summary)}
    return references | labels_only_configs(config, summary) | probe_configs(config)


def reference_kinds(config: ConfigDict) -> list[str]:
    """List the kinds of reference runs (`control`, `baseline`, ...) with which a run with this config is compared."""
    return [*REFERENCE_KINDS, *probe_configs(config)]


def probe_configs(config: ConfigDict) -> dict[str, ConfigDict]:
    """Build the configs of the probes (classifiers on the encoder's features) with which a run is compared.

    A probe depends only on the data, the labels, the encoder and the seed.

    Returns:
        Kind of probe -> config; {} for a run without an encoder.
    """
    if config["encoder"]["name"] == "none":
        return {}
    kinds = [kind for kind, grid in GRIDS.items() if config["probe"][grid]]
    return {kind: fix_unused_by_probe(config | {"probe": config["probe"] | {"classifier": kind}}) for kind in kinds}


def fix_unused_by_probe(config: ConfigDict) -> ConfigDict:
    """Set the settings that have no effect on a probe to fixed values.

    Returns:
        The new config; `config` itself if it is not the config of a probe (`probe.classifier` is null).
    """
    probe, encoder = config.get("probe"), config.get("encoder")
    if not isinstance(probe, dict) or probe.get("classifier") is None:
        return config
    config = config | UNUSED_BY_PROBES
    if isinstance(encoder, dict) and "views" in encoder:  # of which a probe sees none
        config = config | {"encoder": encoder | {"views": 1, "view_seed": 0}}
    return config


def labels_only_configs(config: ConfigDict, summary: Mapping[str, Any]) -> dict[str, ConfigDict]:
    """Build the configs of the two labels-only runs: supervised training with the run's number of optimizer steps.

    Returns:
        `labels_only`: config with the augmentation that the control does not use, the weak or the strong one.
        `labels_only_none`: config without augmentation.
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
    """Whether unlabeled images can have an effect on a run with this config."""
    return "threshold" in result_config(config)


def _train_for(config: ConfigDict, steps: int) -> ConfigDict:
    """Build the `train` section of a config for exactly `steps` optimizer steps, without early stopping."""
    train: ConfigDict = config["train"]
    return train | {"epochs": None, "steps": steps, "patience": None}
