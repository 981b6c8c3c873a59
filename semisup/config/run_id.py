"""What a run is called: the hash of that part of its config that can change a number."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.config import registry

if TYPE_CHECKING:
    from semisup.dataset import KeyRole

ConfigDict = dict[str, Any]
"""A config as plain data, resolved."""

IGNORED_KEYS = ("name", "output_root", "plots", "tracking", "checkpoint", "sweep", "collapse")


def result_config(config: ConfigDict) -> ConfigDict:
    """Return the part of a config that can change a number: the run's id is a hash of it.

    Paths count by their last name only, so that a moved data set keeps its runs. The index of a device does not
    count. For a run that uses no unlabeled image, neither the threshold, the labeler nor the other settings of the
    method without an effect count: all runs of a sweep that differ in these share one control.
    """
    from semisup.dataset import KeyRole  # which imports torch

    kept = {key: value for key, value in config.items() if key not in IGNORED_KEYS}
    kept["device"] = str(kept["device"]).split(":")[0]
    ignored = dataset_keys(kept["dataset"], KeyRole.MACHINE, KeyRole.NO_EFFECT)
    dataset = {key: value for key, value in kept["dataset"].items() if key not in ignored}
    paths = dataset_keys(dataset, KeyRole.PATH)
    kept["dataset"] = dataset | {key: Path(dataset[key]).name for key in paths if dataset.get(key)}
    kept["model"] = _identified_weights(kept["model"])
    node = kept["method"]
    method: Any = registry.settings_class("method", node["name"])(**{key: node[key] for key in node if key != "name"})
    if not method.uses_unlabeled:
        kept["method"] = {key: value for key, value in node.items() if key in ("name", *method.labels_only_settings)}
    return {
        key: value
        for key, value in kept.items()
        if (key not in ("threshold", "labeler") or method.uses_unlabeled) and (key != "weak" or method.uses_weak)
    }


def _identified_weights(model: ConfigDict) -> ConfigDict:
    """Pretrained weights count by the digest of their file and its name, not by its folder; without any, `sha256` does
    not count, so that a run keeps the id that it had before there was this key."""
    if model.get("weights") is not None:
        return model | {"weights": Path(model["weights"]).name}
    return {key: value for key, value in model.items() if key != "sha256"}


def dataset_keys(dataset: ConfigDict, *roles: "KeyRole") -> list[str]:
    """Keys of a data set's config that its class declares with one of these roles.

    Raises:
        SettingError: there is no such data set.
    """
    from semisup.dataset import keys_with_role

    return keys_with_role(registry.settings_class("dataset", dataset["name"]), *roles)


def run_id(config: ConfigDict) -> str:
    """A readable name and 8 digits of the hash: `self_training-fixed-0.95-crop_rotate-0.5-seed0-1a2b3c4d`."""
    kept = result_config(config)
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]
    parts = [kept["method"]["name"]]
    if "lambda_unlabeled" in kept["method"] and "threshold" not in kept:
        parts.append("lambda0")
    if "threshold" in kept:
        parts += [
            kept["threshold"]["name"],
            *(f"{kept['threshold'][key]:g}" for key in ("tau", "q") if key in kept["threshold"]),
        ]
    parts += [kept["augment"]["name"], f"{kept['augment']['strength']:g}", f"seed{kept['seed']}", digest]
    return "-".join(parts)
