"""Compose configs by Hydra, as `semisup train` would, and translate its errors into ours; needs no torch."""

import re
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from semisup.config import compose_cache, resolvers, shared_configs
from semisup.errors import SettingError, closest_match

PLUGINS = {"joblib": "parallel", "submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray", "optuna": "optuna"}
"""Launchers and sweepers of Hydra's that do not come with it, and the extra that brings each."""

resolvers.register()
compose_cache.install()
shared_configs.install()


def config_folder() -> Path:
    """`conf/`: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


def check_names(overrides: list[str]) -> None:
    """Raise SettingError where Hydra, asked to show a config, would only say that it cannot compose it."""
    if overrides:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            compose([values[0] for _, values in map(expand_sweep, overrides) if values])


def expand_sweep(word: str) -> tuple[str, list[str]]:
    """The key of an override, and the override once for each of its swept values: `a=1,2` -> a, [a=1, a=2].

    Empty where only a sweeper knows the values, as of `interval(0, 1)`.
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
        raise SettingError("override", word, f"not of the form key=value ({str(error).splitlines()[0]})") from None


def without_hydra(config: DictConfig) -> DictConfig:
    """The composed config without Hydra's own part, which its interpolations may still ask for."""
    mine = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(mine, DictConfig)
    return mine


def option_files(group: str) -> list[str]:
    """Names of the YAMLs that can be chosen in a group, sorted; none if there is no such group."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml") if shared_configs.is_option(path.stem))


def compose(overrides: list[str]) -> DictConfig:
    for group, _, name in (word.partition("=") for word in overrides):
        if not shared_configs.is_option(name) and (names := option_files(group.partition("@")[0])):
            raise SettingError(group, name, f"must be one of {', '.join(names)}", closest_match(name, names))
    try:
        return hydra.compose("train", overrides=overrides, return_hydra_config=True)
    except (HydraException, ValueError) as error:
        raise _friendly_error(str(error), overrides) from None


def defaults(options: list[str]) -> dict[str, Any]:
    """What `semisup train OPTIONS` composes, unchecked, as plain data; ??? where a value must be given.

    Raises:
        SettingError: there is no such option.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config: Any = OmegaConf.to_container(without_hydra(compose(options)), resolve=True)
    return {str(key): value for key, value in config.items()}


def _friendly_error(message: str, overrides: list[str]) -> SettingError:
    """Hydra's refusal as ours, with the nearest name."""
    unknown = re.search(r"Could not override '([^']+)'", message) or re.search(
        r"Key '([^']+)' is not in struct", message
    )
    if unknown:
        key = unknown[1]
        value = next((each.partition("=")[2] for each in overrides if each.partition("=")[0].lstrip("+~") == key), "")
        elsewhere = _options_with_key(key, overrides)
        from semisup.config.schema import suggest_new_name

        hint = None if elsewhere else closest_match(key, _known_keys())
        return suggest_new_name(SettingError(key, value, f"no such key{elsewhere}", hint))
    plugin = re.search(r"Could not (?:find|load) '(hydra/(?:launcher|sweeper))/(?:.*/)?([^/']+)'", message)
    if plugin and plugin[2] in PLUGINS:
        typed = next((each.partition("=")[2] for each in overrides if each.startswith(f"{plugin[1]}=")), plugin[2])
        return SettingError(plugin[1], typed, f"needs a plugin: pip install 'semisup[{PLUGINS[plugin[2]]}]'")
    choice = re.search(r"Could not find '([^']+)/([^/']+)'", message)
    if choice:
        listed = message.partition("Available options in")[2].partition("Config search path")[0]
        names = [line.strip() for line in listed.splitlines()[1:] if line.strip()]
        return SettingError(choice[1], choice[2], f"must be one of {', '.join(names)}", closest_match(choice[2], names))
    return SettingError("config", " ".join(overrides), " ".join(message.split()))


def _options_with_key(key: str, overrides: list[str]) -> str:
    """Of a key that other options of its group have: `; dataset=folder has it`, the one for users' own files first."""
    from semisup.config import registry

    group, _, inner = key.partition(".")
    if group not in registry.GROUPS or any(word.startswith(f"{group}=") for word in overrides):
        return ""
    names = registry.options_with(group, inner)
    return f"; {group}={min(names, key=lambda name: name != 'folder')} has it" if names else ""


def _known_keys() -> list[str]:
    """Every key of the defaults, and every group."""
    from semisup.config.schema import dotted_keys

    config = OmegaConf.to_container(without_hydra(hydra.compose("train", return_hydra_config=True)), resolve=False)
    return dotted_keys(config)
