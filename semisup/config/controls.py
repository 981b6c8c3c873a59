"""Derive the configs of reference runs, with which a run is compared. Reference runs are trained on labels only.

    control       the same run with lambda_unlabeled=0 and as many optimizer steps as the run: the difference is the
                  effect of the unlabeled images
    baseline      supervised, without augmentation, and only as many steps as the run spent on labeled images
    labels only   two supervised runs with as many steps as the run: one on the view (weak view or augmentation) that
                  the control does not train on, one without augmentation
    probes        only with an encoder: logistic regression and nearest neighbors, fitted to the features of the images
                  without augmentation; no network is trained

The best labels-only run is, by validation, the best of the control, the two labels-only runs and the probes. A run with
lambda_unlabeled=0 is its own control.
"""

from collections.abc import Mapping
from typing import Any

from semisup.config import registry
from semisup.config.run_id import ConfigDict, result_config
from semisup.core.probe_grids import GRIDS

REFERENCE_KINDS = ("control", "baseline", "labels_only", "labels_only_none")
"""Kinds of reference runs of every run that uses unlabeled images."""

PROBE_KINDS = tuple(GRIDS)
"""Further kinds of reference runs of a run that is trained on the features of an encoder."""

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
"""Fixed values of the settings that a probe ignores. Logistic regression is saved as `model=linear` with scale 1.0."""


def control_config(config: ConfigDict, summary: Mapping[str, Any]) -> ConfigDict:
    """Build the config of the control: the run with lambda_unlabeled=0, and as many optimizer steps as the run took.

    All other settings stay, and every part of the method that needs no unlabeled image stays active. For configs of
    version 0.1.0 (definitions 1) the control keeps the meaning that it had then: supervised training with the
    augmentation of the run, called "strongly augmented control".

    Args:
        config: config of the finished run.
        summary: summary of the finished run; only `steps` is read.
    """
    if not uses_unlabeled(config):
        return config
    steps = _train_for(config, summary["steps"])
    if config["definitions"] < 2:
        return config | {"method": SUPERVISED, "train": steps}
    return config | {"method": config["method"] | {"lambda_unlabeled": 0.0}, "train": steps}


def baseline_config(config: ConfigDict, summary: Mapping[str, Any]) -> ConfigDict:
    """Build the config of the baseline: supervised, without augmentation.

    The baseline takes as many optimizer steps as the run spent on labeled images (`labeled_steps` of its summary).
    """
    steps = _train_for(config, summary["labeled_steps"])
    return config | {"method": SUPERVISED, "augment": NO_AUGMENTATION, "train": steps}


def reference_configs(config: ConfigDict, summary: Mapping[str, Any]) -> dict[str, ConfigDict]:
    """Build the configs of all reference runs of a finished run. The keys are the kinds: `control`, `baseline`, ..."""
    references = {"control": control_config(config, summary), "baseline": baseline_config(config, summary)}
    return references | labels_only_configs(config, summary) | probe_configs(config)


def reference_kinds(config: ConfigDict) -> list[str]:
    """List the kinds of reference runs (`control`, `baseline`, ...) with which a run with this config is compared."""
    return [*REFERENCE_KINDS, *probe_configs(config)]


def probe_configs(config: ConfigDict) -> dict[str, ConfigDict]:
    """Build the configs of the probes (simple classifiers on the encoder's features) that a run is compared with.

    The keys are the kinds of probes; {} for a run without encoder. A probe depends only on the data, the labels, the
    encoder and the seed, so that all sweeps share the same probes.
    """
    if config["encoder"]["name"] == "none":
        return {}
    kinds = [kind for kind, grid in GRIDS.items() if config["probe"][grid]]
    return {kind: fix_unused_by_probe(config | {"probe": config["probe"] | {"classifier": kind}}) for kind in kinds}


def fix_unused_by_probe(config: ConfigDict) -> ConfigDict:
    """Set the settings that a probe ignores to fixed values; return configs without `probe.classifier` unchanged."""
    probe, encoder = config.get("probe"), config.get("encoder")
    if not isinstance(probe, dict) or probe.get("classifier") is None:
        return config
    config = config | UNUSED_BY_PROBES
    if isinstance(encoder, dict) and "views" in encoder:  # of which a probe sees none
        config = config | {"encoder": encoder | {"views": 1, "view_seed": 0}}
    return config


def labels_only_configs(config: ConfigDict, summary: Mapping[str, Any]) -> dict[str, ConfigDict]:
    """Build the configs of the two labels-only runs, which are candidates for the best labels-only run.

    Both are supervised and take as many optimizer steps as the run. They depend on no setting of method, threshold and
    labeler, so that the runs of a sweep over these settings share them.

    Returns:
        `labels_only`: trained on the view that the control does not train on (the weak view, or the run's
            augmentation).
        `labels_only_none`: trained without augmentation.
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
