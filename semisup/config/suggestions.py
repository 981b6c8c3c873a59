"""Suggest existing keys and options for a key or option that does not exist."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from semisup.config import registry
from semisup.errors import SettingError, closest_match
from semisup.text import listed, shell_quote

GROUP_OF_NODE = {**{group: group for group in registry.GROUPS}, "weak": "augment"}
"""Node of a config that holds an option -> the group of the option. Same as `GROUP_NODES`, without importing torch."""

MOST_GROUPS = 2
"""Largest number of groups that are suggested for an option; more groups only share a name such as `none`."""

NUMERIC_SETTING = {
    "threshold": ("fixed", "tau"),
    "augment": ("crop_rotate", "strength"),
    "optimizer": ("adamw", "lr"),
}
"""Group -> (option, setting) to suggest if the user gives a number as the option, as in `threshold=0.9`."""


def unknown_option(group: str, name: str, names: list[str], others: Sequence[str] = ()) -> SettingError:
    """Build the error for an option that does not exist; the message lists the options and says what to type.

    Args:
        group: the group, such as `model` or `augment@weak`.
        name: the option as typed.
        names: the options of the group.
        others: the groups that have an option with this name.
    """
    if 0 < len(others) <= MOST_GROUPS:
        option = f"{listed(others, 'and')} {'has' if len(others) == 1 else 'have'} the option {name}"
        typed = listed(f"{other}={name}" for other in others)
        return SettingError(group, name, f"must be one of {', '.join(names)}; {option}: type {typed}")
    nearest = closest_match(name, names)
    is_path = "/" in name
    hint = _number(group, name) or _architecture(group, name) or ((is_path or not nearest) and _folder(group, name))
    if hint:
        return SettingError(group, name, f"must be one of {', '.join(names)}; type {hint}")
    return SettingError(group, name, f"must be one of {', '.join(names)}", nearest)


def _number(group: str, name: str) -> str:
    """Suggest what to type if the user gave a number as an option: `threshold=0.9` -> `threshold.tau=0.9`."""
    plain_group, _, package = group.partition("@")
    try:
        is_finite = math.isfinite(float(name))
    except ValueError:
        return ""
    if not is_finite or plain_group not in NUMERIC_SETTING:
        return ""
    option, key = NUMERIC_SETTING[plain_group]
    return f"{group}={option} {package or plain_group}.{key}={name}"


def _architecture(group: str, name: str) -> str:
    """If the user gave the name of a torchvision or timm network as an option, suggest the option of this library."""
    if group not in ("model", "encoder"):
        return ""
    from semisup.runtime.timm_compat import is_architecture
    from semisup.runtime.torchvision_compat import torchvision

    if group == "model" and name in torchvision().models.list_models():
        return f"model=torchvision model.architecture={name}"
    return f"{group}=timm {group}.architecture={name}" if is_architecture(name) else ""


def _folder(group: str, name: str) -> str:
    """Suggest `dataset=folder` for an unknown data set, with `name` as `dataset.root` if it is the path of a folder."""
    if group != "dataset":
        return ""
    root = f"dataset.root={shell_quote(Path(name))}" if Path(name).expanduser().is_dir() else "dataset.root=PATH"
    return f"dataset=folder {root}"


def options_with_key(key: str, value: str, chosen: Callable[[str], str]) -> str:
    """Suggest the settings that a user could mean by an unknown key, for the end of an error message.

    Args:
        key: the key as typed, such as `tau` or `dataset.root`.
        value: the value as typed.
        chosen: function that returns the chosen option of a config node such as `threshold` or `weak`.

    Returns:
        "" if no setting has this key.
    """
    node, _, inner = key.partition(".")
    if not inner:
        return _full_key(key, value)
    if node not in GROUP_OF_NODE:
        return _full_key(inner, value)
    names = registry.options_with(GROUP_OF_NODE[node], inner)
    if not names:
        return ""
    others = f" in {node}={chosen(node)}; it is a key of {', '.join(names)}"
    return f"{others}; type dataset=folder {key}={value}" if node == "dataset" and "folder" in names else others


def _full_key(key: str, value: str) -> str:
    """Suggest the full key for a key without its group: `threshold.tau` for `tau`."""
    groups = [group for group in registry.GROUPS if registry.options_with(group, key)]
    return f"; type {listed(f'{group}.{key}={value}' for group in groups)}" if groups else ""
