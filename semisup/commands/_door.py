"""The door of `semisup train`: what was typed is composed and checked once, and for a sweep once more for every swept
value, so that a mistake costs a second and not a night.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from semisup.commands import _cores, _kinds
from semisup.errors import SettingError, nearest

if TYPE_CHECKING:
    from semisup.build import Checked
    from semisup.dataset import Dataset, Survey

MOST_CHECKS = 64  # swept values that are checked before the first run
PLUGINS = {"joblib": "parallel", "submitit_slurm": "slurm", "submitit_local": "slurm", "ray": "ray", "optuna": "optuna"}
"""Launchers and sweepers of Hydra's that do not come with it, and the extra that brings each."""

HERE = ("basic", "joblib", "cores", "gpus", "submitit_local", "submitit_debug")
"""Launchers that start the runs on this machine; any other may start them where there are GPUs, and here are none."""

_cores.offer()
_kinds.offer()


def config_folder() -> Path:
    """`conf/`: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"


def check_names(overrides: list[str]) -> None:
    """Raise SettingError where Hydra, asked to show a config, would only say that it cannot compose it."""
    if overrides:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            _composed([values[0] for _, values in map(_choices, overrides) if values])


class Door(NamedTuple):
    """What was typed, composed.

    config: with Hydra's own part, for the first of all swept values
    choices: key -> its override once for each swept value; none where only a sweeper knows the values
    """

    config: DictConfig
    choices: dict[str, list[str]]
    several: bool


def composed_at_the_door(overrides: list[str], asked: bool) -> Door:
    """Compose what was typed; `asked`: by -m. Needs no torch.

    Raises:
        SettingError: with the nearest key or name where one is near.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        choices = dict(_choices(word) for word in overrides)
        config = _composed([values[0] for values in choices.values() if values])
        if not asked and not sweeps(config):
            _one_value_each(choices)
        if sweeps(config):
            swept = (config.hydra.sweeper.get("params") or {}).items()
            choices = dict(_choices(f"{key}={value}") for key, value in swept) | choices
            config = _composed([values[0] for values in choices.values() if values])
    return Door(config, choices, asked or sweeps(config))


def check_at_the_door(door: Door) -> "dict[Dataset, Survey]":
    """Check it, and in a sweep every swept value; returns every data set that is named.

    Raises:
        SettingError: as above.
        DataError: the folders are not what the settings say.
    """
    surveyed: dict[Dataset, Survey] = {}
    check = _check_swept if door.several else _check_one
    check(door.config, surveyed)
    first = {each: values[0] for each, values in door.choices.items() if values}
    others = [(key, value) for key, values in door.choices.items() for value in values[1:]]
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        for key, value in others[:MOST_CHECKS]:
            if _kinds.is_plain(value, door.config):
                with _kinds.changed(door.config, value) as config:
                    check(config, surveyed)
            else:
                check(_composed(list({**first, key: value}.values())), surveyed)
    return surveyed


def planned(door: Door, words: list[str]) -> list[list[str]] | None:
    """The overrides of every job of a sweep, in the order of their numbers; None where only the sweeper knows."""
    if door.config.hydra.runtime.choices["hydra/sweeper"] != "basic":
        return None
    swept = [f"{key}={value}" for key, value in (door.config.hydra.sweeper.get("params") or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*swept, *words])
    parsed = [each for each in parsed if not each.key_or_group.startswith(("hydra.", "hydra/"))]
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    return jobs


def expected_jobs(door: Door, plan: list[list[str]] | None) -> int | None:
    """How many jobs there are to be, as far as that is known before."""
    trials = door.config.hydra.sweeper.get("n_trials") if plan is None else len(plan)
    return None if trials is None else int(trials)


def _check_one(config: DictConfig, surveyed: "dict[Dataset, Survey]", *, elsewhere: bool = False) -> "Checked":
    """Settings among themselves, then settings and data; nothing is decoded, and each data set is surveyed once."""
    from semisup import build, fitting

    checked = build.check(ours(config), elsewhere=elsewhere)
    checked.tracking.must_be_here()
    if checked.dataset not in surveyed:
        surveyed[checked.dataset] = checked.dataset.survey()
    survey = surveyed[checked.dataset]
    fitting.fit(checked, survey.classes, survey.counts, survey.channels)
    return checked


def _check_swept(config: DictConfig, surveyed: "dict[Dataset, Survey]") -> None:
    """The same for a member of a sweep, whose control must be fair."""
    from semisup import fitting

    elsewhere = str(config.hydra.runtime.choices["hydra/launcher"]) not in HERE
    fitting.fair(_check_one(config, surveyed, elsewhere=elsewhere))


def sweeps(config: DictConfig) -> bool:
    """Whether the config itself asks for a sweep (`hydra.mode: MULTIRUN` in an experiment)."""
    return str(config.hydra.mode) == "RunMode.MULTIRUN"


def _one_value_each(choices: dict[str, list[str]]) -> None:
    for key, values in choices.items():
        if len(values) != 1:
            raise SettingError(key, ",".join(value.partition("=")[2] for value in values), "several values need -m")


def _choices(word: str) -> tuple[str, list[str]]:
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


def ours(config: DictConfig) -> DictConfig:
    """The composed config without Hydra's own part, which its interpolations may still ask for."""
    mine = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(mine, DictConfig)
    return mine


def _composed(overrides: list[str]) -> DictConfig:
    try:
        return hydra.compose("train", overrides=overrides, return_hydra_config=True)
    except (HydraException, ValueError) as error:
        raise _translated(str(error), overrides) from None


def defaults(options: list[str]) -> dict[str, Any]:
    """What `semisup train OPTIONS` composes, unchecked, as plain data; ??? where a value must be given.

    Raises:
        SettingError: there is no such option.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        plain: Any = OmegaConf.to_container(ours(_composed(options)), resolve=True)
    return {str(key): value for key, value in plain.items()}


def _translated(message: str, overrides: list[str]) -> SettingError:
    """Hydra's refusal as ours, with the nearest name."""
    unknown = re.search(r"Could not override '([^']+)'", message) or re.search(
        r"Key '([^']+)' is not in struct", message
    )
    if unknown:
        key = unknown[1]
        value = next((each.partition("=")[2] for each in overrides if each.partition("=")[0].lstrip("+~") == key), "")
        elsewhere = _who_has(key, overrides)
        return SettingError(key, value, f"no such key{elsewhere}", None if elsewhere else nearest(key, _known_keys()))
    plugin = re.search(r"Could not (?:find|load) '(hydra/(?:launcher|sweeper))/(?:.*/)?([^/']+)'", message)
    if plugin and plugin[2] in PLUGINS:
        typed = next((each.partition("=")[2] for each in overrides if each.startswith(f"{plugin[1]}=")), plugin[2])
        return SettingError(plugin[1], typed, f"needs a plugin: pip install 'semisup[{PLUGINS[plugin[2]]}]'")
    choice = re.search(r"Could not find '([^']+)/([^/']+)'", message)
    if choice:
        listed = message.partition("Available options in")[2].partition("Config search path")[0]
        names = [line.strip() for line in listed.splitlines()[1:] if line.strip()]
        return SettingError(choice[1], choice[2], f"must be one of {', '.join(names)}", nearest(choice[2], names))
    return SettingError("config", " ".join(overrides), " ".join(message.split()))


def _who_has(key: str, overrides: list[str]) -> str:
    """Of a key that other options of its group have: `; dataset=folder has it`, the one for users' own files first."""
    from semisup import registry

    group, _, inner = key.partition(".")
    if group not in registry.GROUPS or any(word.startswith(f"{group}=") for word in overrides):
        return ""
    names = registry.having(group, inner)
    return f"; {group}={min(names, key=lambda name: name != 'folder')} has it" if names else ""


def _known_keys() -> list[str]:
    """Every key of the defaults, and every group."""
    from semisup.build import keys_of

    plain = OmegaConf.to_container(ours(hydra.compose("train", return_hydra_config=True)), resolve=False)
    return keys_of(plain)


def with_their_group(overrides: Iterable[str]) -> list[str]:
    """Settings of a swept group's options, `threshold.momentum=0.99` beside `threshold=freematch,softmatch`, as sweeps
    of one value: Hydra would put all others onto the group's default option, which need not have them."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = {each.key_or_group for each in parsed if each.is_sweep_override()}
    words = []
    for each in parsed:
        word = str(each.input_line)
        key, _, value = word.partition("=")
        below = each.key_or_group.partition(".")[0] in swept and "." in each.key_or_group
        words.append(f"{key}=choice({value})" if below and not each.is_sweep_override() else word)
    return words
