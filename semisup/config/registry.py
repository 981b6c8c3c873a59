"""A name picks a builder, from a closed list: the modules of a group's folder.

`threshold: {name: fixed, tau: 0.9}` means the one public frozen dataclass of `semisup/threshold/fixed.py`.
That class is the registration, and its fields (types, no defaults) are the schema. A module whose name
starts with an underscore is not an option. Other packages add options by entry points of the group
`semisup.threshold` (and so on) whose value is such a module.
"""

import dataclasses
import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from semisup.errors import check_choice

GROUPS = ("dataset", "model", "augment", "optimizer", "schedule", "threshold", "method", "tracking")


def option_names(group: str) -> list[str]:
    """The options of a group, sorted; nothing is imported but the group's own `__init__`."""
    package = importlib.import_module(f"semisup.{group}")
    own = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    return sorted({*own, *(entry.name for entry in entry_points(group=f"semisup.{group}"))})


@cache
def settings_class(group: str, name: str) -> type:
    """The settings dataclass of one option.

    Raises:
        SettingError: there is no such option; names the nearest.
    """
    check_choice("name", name, option_names(group))
    others = [entry for entry in entry_points(group=f"semisup.{group}") if entry.name == name]
    module = others[0].load() if others else importlib.import_module(f"semisup.{group}.{name}")
    return _settings_dataclass(module)


def options_with(group: str, field: str) -> list[str]:
    """The options of a group that have a setting of this name, sorted; all of the group is imported."""
    return [
        name
        for name in option_names(group)
        if any(each.name == field for each in dataclasses.fields(settings_class(group, name)))
    ]


def _settings_dataclass(module: ModuleType) -> type:
    found = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and value.__module__ == module.__name__
        and not key.startswith("_")
    ]
    assert len(found) == 1, f"{module.__name__} must hold one public dataclass, not {len(found)}"
    return found[0]
