"""Compose configs with Hydra as `semisup train` does, and convert Hydra's errors to SettingError.

This module imports no torch.
"""

import re
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from semisup.config import added_options, custom_configs, registry, resolvers, sweep_composition
from semisup.config.config_folder import config_folder as config_folder  # also for importers of this module
from semisup.config.hydra_versions import initialized
from semisup.config.paired_values import is_empty_cell
from semisup.config.suggestions import options_with_key, unknown_option
from semisup.errors import SettingError, closest_match, first_line

PLUGINS = {"joblib": "parallel", "submitit_slurm": "slurm", "submitit_local": "slurm"}
"""Launcher of Hydra that needs another package -> the extra of semisup that installs this package."""

OTHER_GROUPS = ("experiment", "hydra/launcher", "hydra/sweeper")
"""Groups whose files set keys outside the group: experiments set keys of other groups, `hydra/...` keys of Hydra."""

DELETION = re.compile(r"~(\w+(?:\.\w+)+)", re.ASCII)
"""Pattern of an override that deletes a setting from the config, such as `~threshold.momentum`."""

resolvers.register()
added_options.register()
custom_configs.install()
sweep_composition.install()


def check_names(overrides: list[str]) -> None:
    """Check that Hydra can compose a config from the overrides (KEY=VALUE words).

    If an override has several values, only the first one is checked.

    Raises:
        SettingError: a key or option does not exist.
    """
    if overrides:
        with initialized(config_folder()):
            compose([values[0] for _, values in map(expand_sweep, overrides) if values])


def expand_sweep(word: str) -> tuple[str, list[str]]:
    """Split an override with several values: `a=1,2` becomes the key `a` and the overrides `a=1` and `a=2`.

    Returns:
        The key and the list of overrides. The list is empty for a range such as `interval(0, 1)`.

    Raises:
        SettingError: Hydra cannot parse the override.
    """
    key = word.partition("=")[0]
    try:
        override = OverridesParser.create().parse_override(word)
        if not override.is_sweep_override():
            return key, [word]
        if not override.is_discrete_sweep():
            return key, []
        return key, [f"{key}={value}" for value in override.sweep_string_iterator()]
    except HydraException as error:
        raise SettingError("override", word, f"must have the form key=value ({first_line(error)})") from None


def split_deletions(overrides: list[str]) -> tuple[list[str], list[str]]:
    """Separate deletions such as `~threshold.momentum` from all other overrides.

    Returns:
        The other overrides, and the dotted keys to delete, for `delete_keys`.
    """
    # Hydra cannot delete a key that does not exist, and in a sweep only some of the options may have the key
    keys = [match[1] for match in map(DELETION.fullmatch, overrides) if match]
    return [word for word in overrides if not DELETION.fullmatch(word)], keys


def delete_keys(config: DictConfig, keys: list[str]) -> list[str]:
    """Delete keys such as `threshold.momentum` from `config`, in place; return those that existed."""
    deleted = []
    for key in keys:
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(config, parent, default=None)
        if isinstance(node, DictConfig) and name in node.keys():  # noqa: SIM118  # `in` resolves interpolations
            with open_dict(node):
                del node[name]
            deleted.append(key)
    return deleted


def custom_choices(config: DictConfig) -> list[tuple[str, str, Path]]:
    """List the chosen options that are defined by the user's own YAML files.

    Args:
        config: a composed config with Hydra's section `hydra`.

    Returns:
        (config group, option, path of the YAML file) for each of these options.
    """
    chosen = {str(group).partition("@")[0]: str(name) for group, name in config.hydra.runtime.choices.items()}
    paths = {group: custom_configs.custom_option(group, name) for group, name in chosen.items()}
    own = config_folder()
    return [
        (group, chosen[group], path)
        for group, path in paths.items()
        if path is not None and not (own / group / path.name).is_file()
    ]


def without_hydra(config: DictConfig) -> DictConfig:
    """Copy a composed config without its section `hydra`.

    Interpolations such as `${hydra:...}` still work in the copy.
    """
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(own, DictConfig)
    return own


def option_files(group: str) -> list[str]:
    """List the names of the options of a config group, sorted; [] for an unknown group."""
    files = {path.stem for path in (config_folder() / group).glob("*.yaml")}
    files.update(custom_configs.custom_names(group))
    return sorted(files | (registry.added_options(group).keys() if group in registry.GROUPS else set()))


def groups_with(name: str) -> list[str]:
    """List the config groups that have an option with this name."""
    return [group for group in (*registry.GROUPS, *OTHER_GROUPS) if name in option_files(group)]


def compose(overrides: list[str]) -> DictConfig:
    """Compose the config of a run, including Hydra's section `hydra`. The caller must have initialized Hydra.

    Raises:
        SettingError: a key or option does not exist; the message suggests the most similar name.
    """
    overrides = [word for word in overrides if not is_empty_cell(word)]
    for word in overrides:
        _check_option(word)
    try:
        return hydra.compose("train", overrides=overrides, return_hydra_config=True)
    except (HydraException, ValueError) as error:
        raise _friendly_error(str(error), overrides) from None


def _check_option(word: str) -> None:
    """Raise SettingError if the value of a config group cannot be an option.

    Such values are numbers, null and paths.
    """
    group, equals, typed = word.partition("=")
    plain_group = group.partition("@")[0]
    names = option_files(plain_group)
    if not names or not equals:
        return
    name = _parsed_value(word)
    if isinstance(name, str):
        if plain_group in registry.GROUPS and "/" in name:
            raise unknown_option(group, name, names)  # a path
    elif name is None or isinstance(name, int | float):
        raise unknown_option(group, typed, names)


def _parsed_value(word: str) -> object:
    """Parse the value of an override with Hydra; if Hydra cannot parse it, return the text after `=`."""
    try:
        return OverridesParser.create().parse_override(word).value()
    except HydraException:
        return word.partition("=")[2]


def defaults(options: list[str]) -> dict[str, Any]:
    """Compose the config that `semisup train OPTIONS` would use, as plain data, without validation.

    A setting that the user must give has the value `???`.

    Raises:
        SettingError: there is no such option.
    """
    with initialized(config_folder()):
        config: Any = OmegaConf.to_container(without_hydra(compose(options)), resolve=True)
    return {str(key): value for key, value in config.items()}


def _friendly_error(message: str, overrides: list[str]) -> SettingError:
    """Convert an error message of Hydra to a SettingError that says what to type instead."""
    unknown = re.search(r"Could not override '([^']+)'", message) or re.search(
        r"Key '([^']+)' is not in struct", message
    )
    if unknown:
        key = unknown[1]
        word = next((each for each in overrides if each.partition("=")[0].lstrip("+~") == key), "")
        value = word.partition("=")[2]
        if value.startswith("'"):
            value = str(_parsed_value(word))
        from semisup.config.schema import suggest_new_name

        elsewhere = options_with_key(key, value, lambda node: _chosen_option(node, overrides))
        hint = None if elsewhere else closest_match(key, _existing_keys())
        return suggest_new_name(SettingError(key, value, f"no such key{elsewhere}", hint))
    if twice := re.search(r"Multiple values for (\S+)\.", message):
        typed = next((word for word in overrides if word.startswith(f"+{twice[1]}=")), "")
        return SettingError(
            "override", typed, f"the key {twice[1]} has a value already; type {typed[1:]} without the +"
        )
    plugin = re.search(r"Could not (?:find|load) '(hydra/(?:launcher|sweeper))/(?:.*/)?([^/']+)'", message)
    if plugin and plugin[2] in PLUGINS:
        typed = next((each.partition("=")[2] for each in overrides if each.startswith(f"{plugin[1]}=")), plugin[2])
        return SettingError(plugin[1], typed, f"needs a plugin; type pip install 'semisup[{PLUGINS[plugin[2]]}]'")
    choice = re.search(r"Could not find '([^']+)/([^/']+)'", message)
    if choice:
        return _unknown_option(choice[1], choice[2], message)
    return SettingError("config", " ".join(overrides), " ".join(message.split()))


def _chosen_option(node: str, overrides: list[str]) -> str:
    """Return the option that the overrides choose for a config node such as `threshold`.

    Overrides of single settings, such as `threshold.tau=0.9`, are ignored.
    """
    choices = [word for word in overrides if "." not in word.partition("=")[0] and _is_choice(word)]
    config = hydra.compose("train", overrides=choices)
    return str(config[node].name)


def _is_choice(word: str) -> bool:
    return word.partition("=")[0].partition("@")[0] in (*registry.GROUPS, "experiment")


def _unknown_option(group: str, name: str, message: str) -> SettingError:
    if group in registry.GROUPS and (module := registry.added_options(group).get(name)):
        path = added_options.option_file(module)
        if path is None:
            return SettingError(group, name, f"the module {module} of this option is not installed")
        return SettingError(group, name, f"this option has no YAML file; create {path}")
    if group == "hydra/sweeper":  # the list of `--help`; Hydra's own sweeper is the default and need not be typed
        return unknown_option(group, name, option_files(group), groups_with(name))
    listed = message.partition("Available options in")[2].partition("Config search path")[0]
    names = [line.strip() for line in listed.splitlines()[1:] if line.strip()]
    return unknown_option(group, name, names, groups_with(name))


def _existing_keys() -> list[str]:
    """List every dotted key of the default config, and every group."""
    from semisup.config.nested_keys import dotted_keys

    config = OmegaConf.to_container(without_hydra(hydra.compose("train", return_hydra_config=True)), resolve=False)
    return dotted_keys(config)
