"""Hide YAMLs whose name starts with an underscore: they hold what other YAMLs of their group share.

Hydra lists every YAML of a group as an option: in `--help`, in its errors, in shell completion and in `glob(*)`.
"""

from typing import Any

from hydra.plugins.config_source import ConfigSource


def is_option(name: str) -> bool:
    """Whether a YAML of this name is an option of its group."""
    return not name.startswith("_")


def install() -> None:
    """Leave shared YAMLs out wherever Hydra lists the options of a group; including them still works."""
    add_result = ConfigSource._list_add_result

    def add_option(source: Any, files: Any, file_path: Any, file_name: Any, results_filter: Any) -> None:
        if is_option(file_name):
            add_result(source, files, file_path, file_name, results_filter)

    # not of FileConfigSource, whose class Hydra creates again when it discovers plugins
    setattr(ConfigSource, "_list_add_result", add_option)  # noqa: B010  # mypy takes it for a method
