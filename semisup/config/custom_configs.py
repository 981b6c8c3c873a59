"""Find the user's own YAML files: in `--config-dir DIR`, and in `semisup/` or `conf/` of the current folder.

`semisup/` and `conf/` are searched if they contain a folder `experiment/`. If a YAML file of the user has the same name
as a built-in one, the built-in one is used.
"""

import os
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

VARIABLE = "SEMISUP_CONFIG_DIR"
"""Environment variable that passes the folder of `--config-dir` to the processes of a sweep."""

OWN_CONF = Path(__file__).resolve().parents[2] / "conf"


def folders() -> list[Path]:
    """List the folders with the user's own YAML files, in the order in which they are searched."""
    given = os.environ.get(VARIABLE)
    local = [Path(name) for name in ("semisup", "conf") if Path(name, "experiment").is_dir()]
    return [*([Path(given)] if given else []), *(path for path in local if path.resolve() != OWN_CONF)]


def custom_option(group: str, name: str) -> Path | None:
    """Return the user's own YAML file for an option of a config group; None if there is none."""
    paths = (folder / group / f"{name}.yaml" for folder in folders())
    return next((path for path in paths if path.is_file()), None)


def custom_names(group: str) -> list[str]:
    """List the options of a config group that the user's own YAML files define."""
    return sorted({path.stem for folder in folders() for path in (folder / group).glob("*.yaml")})


class CustomConfigs(SearchPathPlugin):
    """Hydra plugin that appends the folders with the user's own YAML files to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders of the user to the search path."""
        for folder in folders():
            search_path.append("semisup", f"file://{folder.resolve()}")


def install() -> None:
    """Register the plugin `CustomConfigs` with Hydra."""
    Plugins.instance().register(CustomConfigs)
