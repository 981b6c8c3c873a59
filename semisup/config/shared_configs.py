"""Hide YAML files with a leading underscore from Hydra's lists of options.

Such files contain keys that several options share. Hydra would list them as options in `--help`, in error messages, in
shell completion and in `glob(*)`.
"""

from typing import Any

from hydra.plugins.config_source import ConfigSource


def is_option(name: str) -> bool:
    """Whether a YAML file with this name is an option of its group."""
    return not name.startswith("_")


def install() -> None:
    """Make Hydra omit YAML files with a leading underscore from lists of options.

    Other YAML files can still include them.
    """
    add_result = ConfigSource._list_add_result

    def add_option(source: Any, files: Any, file_path: Any, file_name: Any, results_filter: Any) -> None:
        if is_option(file_name):
            add_result(source, files, file_path, file_name, results_filter)

    # not of FileConfigSource, whose class Hydra creates again when it discovers plugins
    setattr(ConfigSource, "_list_add_result", add_option)  # noqa: B010  # mypy takes it for a method
