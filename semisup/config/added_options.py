"""Load the YAML files of options that other installed packages add by an entry point.

For example, the entry point `theirs = their_package.policy` in the group `semisup.threshold` adds the option
`threshold=theirs`. Its YAML file is `policy.yaml`, in the same folder as `policy.py`. This module stores the YAML in
Hydra's ConfigStore, so that Hydra accepts the option and lists it. The code of the other package is not imported.
"""

import importlib.util
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from semisup.config import registry


def register() -> None:
    """Store the YAML of every added option in Hydra's ConfigStore."""
    for group in registry.GROUPS:
        for name, module in registry.added_options(group).items():
            path = option_file(module)
            if path is not None and path.is_file():
                store = ConfigStore.instance()
                store.store(name, OmegaConf.load(path), group=group, provider=module)


def option_file(module: str) -> Path | None:
    """Return the path of the YAML file for an option's module; None if the module does not exist.

    The YAML file itself may be missing.
    """
    spec = _find_spec(module)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).with_suffix(".yaml")


def _find_spec(module: str) -> ModuleSpec | None:
    """Locate a module without importing its parent packages, unlike `importlib.util.find_spec`."""
    top, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:
        return None
    name = top
    for part in parts:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    return spec
