"""The reference runs that a run is compared with; all of them are trained on labels only.

    control       the same run with lambda_unlabeled=0 and as many optimizer steps: the effect of the unlabeled images
    baseline      supervised, no augmentation, and only as many steps as the run spent on labeled images
    labels only   supervised with as many steps, on the other view and without augmentation; the best of these and the
                  control on validation is the best labels-only run
    probes        with an encoder: logistic regression and nearest neighbors on the features of the images as they are,
                  without training; also candidates of the best labels-only run

A run with lambda_unlabeled=0 is its own control.
"""

from collections.abc import Mapping
from typing import Any

from semisup.config import registry
from semisup.config.run_id import ConfigDict, result_config
from semisup.core.probe_grids import GRIDS

REFERENCE_KINDS = ("control", "baseline", "labels_only", "labels_only_none")
"""Reference runs of every run that uses unlabeled images."""

PROBE_KINDS = tuple(GRIDS)
"""Further reference runs of a run on the features of an encoder."""

SUPERVISED = {"name": "supervised"}
NO_AUGMENTATION = {"name": "none", "strength": 0.0}
UNUSED_BY_PROBES: ConfigDict = {
    "method": SUPERVISED,
    "model": {"name": "linear", "scale": 1.0},
    "augment": NO_AUGMENTATION,
    "weak": NO_AUGMENTATION,
    "precision": "float32",
    "compile": False,
}
"""Settings that a probe ignores, in a fixed form; logistic regression is saved as `model=linear` of this scale."""


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
    """Build the configs of the runs that are trained beside a finished run, by kind: the keys are `reference_kinds`."""
    references = {"control": control_config(config, summary), "baseline": baseline_config(config, summary)}
    return references | labels_only_configs(config, summary) | probe_configs(config)


def reference_kinds(config: ConfigDict) -> list[str]:
    """List the kinds of reference runs of a run with this config."""
    return [*REFERENCE_KINDS, *probe_configs(config)]


def probe_configs(config: ConfigDict) -> dict[str, ConfigDict]:
    """Build the configs of the probes of a run on features, by kind; {} for a run on images.

    They depend on data, labels, encoder and seed alone, so that all sweeps share them.
    """
    if config["encoder"]["name"] == "none":
        return {}
    kinds = [kind for kind, grid in GRIDS.items() if config["probe"][grid]]
    return {kind: fix_unused_by_probe(config | {"probe": config["probe"] | {"classifier": kind}}) for kind in kinds}


def fix_unused_by_probe(config: ConfigDict) -> ConfigDict:
    """Bring the settings that a probe ignores to a fixed form; other configs are returned unchanged."""
    probe, encoder = config.get("probe"), config.get("encoder")
    if not isinstance(probe, dict) or probe.get("classifier") is None:
        return config
    config = config | UNUSED_BY_PROBES
    if isinstance(encoder, dict) and "views" in encoder:  # of which a probe sees none
        config = config | {"encoder": encoder | {"views": 1, "view_seed": 0}}
    return config


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
