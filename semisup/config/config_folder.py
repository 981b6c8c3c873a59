"""Find the folder `conf/`, and read from it the default value of a setting."""

from functools import cache
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from semisup.config import added_options, registry


def config_folder() -> Path:
    """Find the folder `conf/`: inside the installed package, or next to the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


@cache
def default_value(group: str, name: str, key: str) -> object:
    """Read the default value of a setting from the YAML file of its option; None if the file does not have it.

    Args:
        group: config group, such as `reject`.
        name: option of the group, which may be from another package.
        key: the setting.
    """
    module = registry.added_options(group).get(name)
    path = added_options.option_file(module) if module else config_folder() / group / f"{name}.yaml"
    if path is None or not path.is_file():
        return None
    node = OmegaConf.load(path)
    return node.get(key) if isinstance(node, DictConfig) else None
