"""Look up the options of each config group by name.

The config `threshold: {name: fixed, tau: 0.9}` selects the module `semisup/threshold/fixed.py`. This module defines one
public frozen dataclass, whose fields are the settings of the option. A module whose name starts with an underscore is
not an option. Other packages add options by entry points (`config/added_options.py`).
"""

import dataclasses
import importlib
import pkgutil
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from types import ModuleType
from typing import cast

from semisup.errors import check_choice

GROUPS = (
    "dataset",
    "encoder",
    "model",
    "augment",
    "optimizer",
    "schedule",
    "threshold",
    "reject",
    "loss",
    "debias",
    "method",
    "tracking",
)


def option_names(group: str) -> list[str]:
    """List the names of the options of a config group, sorted, without importing their modules."""
    return sorted({*_own_options(group), *added_options(group)})


def added_options(group: str) -> dict[str, str]:
    """Return the options that other packages add to a group, as name -> module.

    A name of a built-in option is left out, because built-in options cannot be replaced.
    """
    added = {entry.name: entry.value for entry in installed_entry_points().select(group=f"semisup.{group}")}
    if not added:
        return {}
    own = _own_options(group)
    return {name: module for name, module in sorted(added.items()) if name not in own}


@cache
def installed_entry_points() -> EntryPoints:
    """Read the entry points of all installed packages, once per process."""
    return cast(EntryPoints, entry_points())  # before Python 3.12 another class, which has `select` too


def _own_options(group: str) -> list[str]:
    folder = Path(__file__).resolve().parents[1] / group
    return [module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_")]


@cache
def settings_class(group: str, name: str) -> type:
    """Import the settings dataclass of an option, such as `Fixed` for `threshold=fixed`.

    Raises:
        SettingError: there is no such option; the message suggests the most similar name.
    """
    check_choice("name", name, option_names(group))
    module = added_options(group).get(name, f"semisup.{group}.{name}")
    return _settings_dataclass(importlib.import_module(module))


def options_with(group: str, field: str) -> list[str]:
    """List the options of a group that have a setting named `field`, sorted.

    All modules of the group are imported.
    """
    return [
        name
        for name in option_names(group)
        if any(each.name == field for each in dataclasses.fields(settings_class(group, name)))
    ]


def _settings_dataclass(module: ModuleType) -> type:
    classes = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and value.__module__ == module.__name__
        and not key.startswith("_")
    ]
    assert len(classes) == 1, f"{module.__name__} must define one public dataclass, not {len(classes)}"
    return classes[0]
