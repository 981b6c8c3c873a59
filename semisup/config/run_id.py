"""Identify runs by the part of their config that can change their results."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.config import registry
from semisup.core.added_setting import absent_values, without_absent
from semisup.core.probe_grids import GRIDS
from semisup.errors import SettingError

if TYPE_CHECKING:
    from semisup.dataset import KeyRole

ConfigDict = dict[str, Any]
"""A config as plain data, with all interpolations resolved."""

IGNORED_KEYS = ("name", "output_root", "plots", "tracking", "checkpoint", "sweep", "collapse")
MAX_LENGTH = 100
"""Largest number of characters of a run id."""

IGNORED_ENCODER_KEYS = ("cache",)

OPTIONS_WITHOUT_EFFECT = {"loss": "cross_entropy", "debias": "none", "reject": "none"}
"""Group that was added in a later version -> the option with which a run is the same as without the group."""

IGNORED_BY_LABELS = frozenset(("debias", "reject"))
"""Groups of OPTIONS_WITHOUT_EFFECT that have no effect in a run without unlabeled images."""

IGNORED_BY_PROBES = (
    *("model", "augment", "weak", "optimizer", "schedule", "threshold", "reject", "loss", "debias"),
    *("method", "labeler"),
    *("precision", "channels_last", "compile"),
)
"""Keys without effect on a probe (a run with `probe.classifier`). Of the section `train`, `select_by` has an effect."""


def result_config(config: ConfigDict) -> ConfigDict:
    """Select the part of a config that can change the results of a run. The run id contains the hash of this part.

    - Paths are reduced to their last name, so that a data set or a parent run can be moved.
    - Paths of files that only diagnostics use become null.
    - Settings that do not affect results are left out, such as the name of the experiment and the index of a GPU.
    - Settings that were added in later versions are left out if they have no effect.
    - In a run without unlabeled images, the settings that concern only unlabeled images are left out. So runs that
    differ only in these settings have the same control.
    """
    from semisup.dataset import KeyRole  # which imports torch

    counted = {key: value for key, value in config.items() if key not in IGNORED_KEYS}
    counted["device"] = str(counted["device"]).split(":")[0]
    ignored = dataset_keys(counted["dataset"], KeyRole.MACHINE, KeyRole.NO_EFFECT)
    ignored += _unset_keys(counted["dataset"])
    dataset = {key: value for key, value in counted["dataset"].items() if key not in ignored}
    dataset |= dict.fromkeys(dataset.keys() & dataset_keys(dataset, KeyRole.DIAGNOSTICS))
    paths = dataset_keys(dataset, KeyRole.PATH)
    encoder = {key: value for key, value in counted.pop("encoder").items() if key not in IGNORED_ENCODER_KEYS}
    if encoder["name"] != "none":  # without one, an id is what it was before there were encoders
        counted["encoder"] = encoder | ({"weights": _file_names(encoder["weights"])} if encoder.get("weights") else {})
    counted["dataset"] = dataset | {key: Path(dataset[key]).name for key in paths if dataset.get(key)}
    counted["train"] = {key: value for key, value in counted["train"].items() if key != "refit" or value}
    parent = {key: value for key, value in counted.pop("from").items() if value is not None}
    if parent:  # without one, an id is what it was before there were parent runs
        counted["from"] = parent | ({"run": Path(str(parent["run"])).name} if "run" in parent else {})
    probe = counted.pop("probe")
    if probe["classifier"] is not None:
        return _probe_config(counted, probe)
    counted["model"] = _identified_weights(counted["model"])
    node = counted["method"]
    settings: Any = registry.settings_class("method", node["name"])
    method = settings(**absent_values(settings) | {key: node[key] for key in node if key != "name"})
    for group, name in OPTIONS_WITHOUT_EFFECT.items():
        if counted.get(group, {}).get("name") == name:
            del counted[group]
    if not method.uses_unlabeled:
        counted.pop("debias", None)
        if "loss" in counted:
            counted["loss"] = {
                key: counted["loss"][key] for key in counted["loss"] if key not in _unused(counted["loss"])
            }
        counted["method"] = {key: value for key, value in node.items() if key in ("name", *method.labels_only_settings)}
    return {
        key: value
        for key, value in counted.items()
        if (key not in ("threshold", "reject", "labeler") or method.uses_unlabeled)
        and (key != "weak" or method.uses_weak)
    }


def omitted_options(counted: ConfigDict) -> dict[str, str]:
    """Return the options without effect (OPTIONS_WITHOUT_EFFECT) that `result_config` left out of a config.

    Args:
        counted: a result of `result_config`.

    Returns:
        Group -> option. Groups that cannot change the results of this run are not listed, such as `reject` in a run
        without unlabeled images.
    """
    if "probe" in counted:
        return {}
    groups = OPTIONS_WITHOUT_EFFECT if "threshold" in counted else OPTIONS_WITHOUT_EFFECT.keys() - IGNORED_BY_LABELS
    return {group: OPTIONS_WITHOUT_EFFECT[group] for group in sorted(groups) if group not in counted}


def _unused(loss: ConfigDict) -> list[str]:
    """List the settings of a loss that have no effect in a run without unlabeled images."""
    return [*registry.settings_class("loss", loss["name"]).without_unlabeled]  # type: ignore[attr-defined]


def _probe_config(counted: ConfigDict, probe: ConfigDict) -> ConfigDict:
    """Select the part of the config of a probe (`probe.classifier`) that can change its result."""
    grid = GRIDS[probe["classifier"]]
    own = {"classifier": probe["classifier"], grid: probe[grid]}
    rest = {key: value for key, value in counted.items() if key not in IGNORED_BY_PROBES}
    return rest | {"train": {"select_by": counted["train"]["select_by"]}, "probe": own}


def _file_names(weights: str | list[str]) -> str | list[str]:
    """Reduce the path of a weights file, or each path in a list, to the file name."""
    return Path(weights).name if isinstance(weights, str) else [Path(each).name for each in weights]


def _identified_weights(model: ConfigDict) -> ConfigDict:
    """Reduce the path of pretrained weights to the file name; the setting `sha256` identifies the content.

    Without weights, the setting `sha256` is left out.
    """
    if model.get("weights") is not None:
        return model | {"weights": Path(model["weights"]).name}
    # so that a run keeps the id that it had before this key existed
    return {key: value for key, value in model.items() if key != "sha256"}


def _without_absent(key: str, node: Any) -> Any:
    """Remove the settings of a config node that were added in later versions and have no effect in this run.

    Args:
        key: name of the node, such as `threshold`.
        node: content of the node.
    """
    if not isinstance(node, dict):
        return node
    settings = _settings_class(key, node)
    return node if settings is None else without_absent(settings, node)


def _settings_class(key: str, node: ConfigDict) -> type | None:
    """Import the settings dataclass of a config group's option or of a section; None if it is not installed."""
    from semisup.config.nodes import GROUP_NODES, SECTIONS  # which import torch

    try:
        return registry.settings_class(GROUP_NODES[key], node["name"]) if key in GROUP_NODES else SECTIONS.get(key)
    except SettingError:
        return None


def dataset_keys(dataset: ConfigDict, *roles: "KeyRole") -> list[str]:
    """List the settings of a data set that have one of these roles (see `KeyRole`), such as the paths.

    Raises:
        SettingError: the config names a data set that does not exist.
    """
    from semisup.dataset import keys_with_role

    return keys_with_role(registry.settings_class("dataset", dataset["name"]), *roles)


def _unset_keys(dataset: ConfigDict) -> list[str]:
    """List the settings of a data set that are left out of the run id because they are null."""
    from semisup.dataset import KeyRole

    return [key for key in dataset_keys(dataset, KeyRole.WHEN_SET, KeyRole.FOLD) if dataset.get(key) is None]


def fold_of(config: ConfigDict) -> int | None:
    """Return the index of the cross-validation fold that a run uses for validation; None without folds."""
    from semisup.dataset import KeyRole

    values = [config["dataset"].get(key) for key in dataset_keys(config["dataset"], KeyRole.FOLD)]
    return next((value for value in values if isinstance(value, int)), None)


def run_id(config: ConfigDict) -> str:
    """Build the id of a run: its main settings in readable form, and 8 hexadecimal digits of a hash.

    An id such as `self_training-fixed-0.95-crop_rotate-0.5-seed0-1a2b3c4d` has these parts: method; threshold and its
    numeric settings; if images are rejected, the option `reject` and its numeric settings; augmentation and strength;
    seed; fold, if there is one; hash.

    Of the numeric settings, `tau` and `q` come first and without their names. The others follow with their names, in
    alphabetical order (`adamatch-0.9-momentum0.99`). If the id would exceed 100 characters, the last numeric settings
    are left out.

    The hash is computed from `result_config(config)`, without settings that were added in later versions and have no
    effect.
    """
    counted = result_config(config)
    hashed = {key: _without_absent(key, node) for key, node in counted.items()}
    digest = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:8]
    if "probe" in counted:
        return f"{counted['probe']['classifier']}-seed{counted['seed']}-{digest}"
    head = [counted["method"]["name"]]
    settings = []
    if "lambda_unlabeled" in counted["method"] and "threshold" not in counted:
        head.append("lambda0")
    if "threshold" in counted:
        head.append(counted["threshold"]["name"])
        settings = _numbers(counted["threshold"])
    if "reject" in counted:
        settings += [counted["reject"]["name"], *_numbers(counted["reject"])]
    tail = [counted["augment"]["name"], f"{counted['augment']['strength']:g}", f"seed{counted['seed']}", digest]
    if (fold := fold_of(counted)) is not None:
        tail.insert(-1, f"fold{fold}")
    while settings and len("-".join([*head, *settings, *tail])) > MAX_LENGTH:
        settings.pop()
    readable = "-".join([*head, *settings, *tail[:-1]])
    return f"{readable[: MAX_LENGTH - len(digest) - 1]}-{digest}"


def _numbers(option: ConfigDict) -> list[str]:
    """Format the numeric settings of an option for a run id: `0.95`, `momentum0.99`, ..."""
    numbers = {
        key: value for key, value in option.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    bare = [f"{numbers[key]:g}" for key in ("tau", "q") if key in numbers]
    return bare + [f"{key}{numbers[key]:g}" for key in sorted(numbers) if key not in ("tau", "q")]
