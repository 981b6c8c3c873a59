"""Let Hydra parse each YAML once per process of tests: parsing is a third of the time of composing a config."""

import os
import pickle

from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult

_parsed: dict[tuple[str, str, int, int], bytes] = {}
"""Path without suffix, name in Hydra, time of change and size of a YAML -> what Hydra reads from it, pickled."""


def install() -> None:
    """Replace Hydra's reading of YAML files in this process; files that have changed are read again."""
    load = ConfigRepository.load_config

    def load_config(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        source = repository._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() != "file":
            return load(repository, config_path)
        path = os.path.join(source.path, config_path.removesuffix(".yaml"))
        status = os.stat(f"{path}.yaml")
        key = path, config_path, status.st_mtime_ns, status.st_size
        if key not in _parsed:
            _parsed[key] = pickle.dumps(load(repository, config_path))
        result: ConfigResult = pickle.loads(_parsed[key])  # a new one, because Hydra changes it
        return result

    ConfigRepository.load_config = load_config  # type: ignore[method-assign]
