"""The door of `semisup train`: what was typed is composed and checked once, and for a sweep once more for every swept
value, so that a mistake costs a second and not a night.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from semisup.config import compose_cache
from semisup.config.compose import compose, config_folder, expand_sweep, without_hydra
from semisup.errors import SettingError

if TYPE_CHECKING:
    from semisup.config.schema import RunConfig
    from semisup.dataset import Dataset, DatasetInfo

MAX_CHECKS = 64  # swept values that are checked before the first run
LOCAL_LAUNCHERS = ("basic", "joblib", "cores", "gpus", "submitit_local", "submitit_debug")
"""Launchers that start the runs on this machine; any other may start them where there are GPUs, and here are none."""


class ComposedCommand(NamedTuple):
    """What was typed, composed.

    config: with Hydra's own part, for the first of all swept values
    choices: key -> its override once for each swept value; none where only a sweeper knows the values
    """

    config: DictConfig
    choices: dict[str, list[str]]
    several: bool


def compose_command(overrides: list[str], asked: bool) -> ComposedCommand:
    """Compose what was typed; `asked`: by -m. Needs no torch.

    Raises:
        SettingError: with the nearest key or name where one is near.
    """
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        choices = dict(expand_sweep(word) for word in overrides)
        config = compose([values[0] for values in choices.values() if values])
        if not asked and not is_sweep(config):
            _one_value_each(choices)
        if is_sweep(config):
            swept = (config.hydra.sweeper.get("params") or {}).items()
            choices = dict(expand_sweep(f"{key}={value}") for key, value in swept) | choices
            config = compose([values[0] for values in choices.values() if values])
    return ComposedCommand(config, choices, asked or is_sweep(config))


def validate_command(door: ComposedCommand) -> "dict[Dataset, DatasetInfo]":
    """Check it, and in a sweep every swept value; returns every data set that is named.

    Raises:
        SettingError: as above.
        DataError: the folders are not what the settings say.
    """
    infos: dict[Dataset, DatasetInfo] = {}
    check = _check_swept if door.several else _check_one
    check(door.config, infos)
    first = {each: values[0] for each, values in door.choices.items() if values}
    others = [(key, value) for key, values in door.choices.items() for value in values[1:]]
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        for key, value in others[:MAX_CHECKS]:
            if compose_cache.is_scalar_override(value, door.config):
                with compose_cache.with_override(door.config, value) as config:
                    check(config, infos)
            else:
                check(compose(list({**first, key: value}.values())), infos)
    return infos


def job_overrides(door: ComposedCommand, words: list[str]) -> list[list[str]] | None:
    """The overrides of every job of a sweep, in the order of their numbers; None where only the sweeper knows."""
    if door.config.hydra.runtime.choices["hydra/sweeper"] != "basic":
        return None
    swept = [f"{key}={value}" for key, value in (door.config.hydra.sweeper.get("params") or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*swept, *words])
    parsed = [each for each in parsed if not each.key_or_group.startswith(("hydra.", "hydra/"))]
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    return jobs


def expected_jobs(door: ComposedCommand, plan: list[list[str]] | None) -> int | None:
    """How many jobs there are to be, as far as that is known before."""
    trials = door.config.hydra.sweeper.get("n_trials") if plan is None else len(plan)
    return None if trials is None else int(trials)


def _check_one(config: DictConfig, infos: "dict[Dataset, DatasetInfo]", *, elsewhere: bool = False) -> "RunConfig":
    """Settings among themselves, then settings and data; nothing is decoded, and each data set is surveyed once."""
    from semisup.config import schema
    from semisup.runner import compatibility

    run_config = schema.validate(without_hydra(config), elsewhere=elsewhere)
    run_config.tracking.require_installed()
    compatibility.check_output_folders(run_config)
    if run_config.dataset not in infos:
        infos[run_config.dataset] = run_config.dataset.inspect()
    info = infos[run_config.dataset]
    compatibility.check_compatibility(run_config, info.classes, info.counts, info.channels)
    return run_config


def _check_swept(config: DictConfig, infos: "dict[Dataset, DatasetInfo]") -> None:
    """The same for a member of a sweep, whose control must be fair."""
    from semisup.runner import compatibility

    elsewhere = str(config.hydra.runtime.choices["hydra/launcher"]) not in LOCAL_LAUNCHERS
    compatibility.check_control_is_fair(_check_one(config, infos, elsewhere=elsewhere))


def is_sweep(config: DictConfig) -> bool:
    """Whether the config itself asks for a sweep (`hydra.mode: MULTIRUN` in an experiment)."""
    return str(config.hydra.mode) == "RunMode.MULTIRUN"


def _one_value_each(choices: dict[str, list[str]]) -> None:
    for key, values in choices.items():
        if len(values) != 1:
            raise SettingError(key, ",".join(value.partition("=")[2] for value in values), "several values need -m")


def bind_group_settings(overrides: Iterable[str]) -> list[str]:
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
