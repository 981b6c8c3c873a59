"""Compose and validate the command line of `semisup train`, with all swept values, before the first run."""

import functools
import importlib.util
import itertools
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from semisup.config.compose import compose, config_folder, delete_keys, expand_sweep, split_deletions, without_hydra
from semisup.config.hydra_versions import initialized
from semisup.config.paired_values import axes, is_paired, require_equal_lengths
from semisup.config.scalar_override import composition_key, is_scalar_override, with_override
from semisup.errors import NoUnlabeledError, SettingError
from semisup.sweep.job_order import REPETITIONS, WITHOUT_PARAMS
from semisup.sweep.search import end_words, integer_interval
from semisup.sweep.sweepers import BASIC, GRIDS, SEARCH, sweeper_name
from semisup.text import printable

if TYPE_CHECKING:
    from semisup.config.schema import RunConfig
    from semisup.dataset import Dataset, DatasetInfo

MAX_CHECKS = 64
"""Maximum number of swept values that are validated before the first run."""

LOCAL_LAUNCHERS = ("basic", "joblib", "cores", "gpus", "submitit_local", "submitit_debug")
"""Launchers that run the jobs on this machine; other launchers may use machines with other devices."""

SLURM_LAUNCHERS = ("slurm", "submitit_slurm")


class ComposedCommand(NamedTuple):
    """Command line of `semisup train` as a composed config, with the values to sweep.

    config: the composed config, in which each swept setting has its first value; it includes Hydra's own settings
    choices: key -> list of overrides, one for each value; for `interval(0, 1)` its two ends with the sweeper `search`,
        and [] with other sweepers
    several: whether the command is a sweep
    deleted_keys: keys that overrides such as `~threshold.momentum` remove from each config that has them
    paired: keys with paired values (`zip(...)`): each job uses values at the same index in the lists of these keys
    intervals: key -> override with an interval, such as `threshold.tau=interval(0.6,0.99)`, of the sweeper `search`
    """

    config: DictConfig
    choices: dict[str, list[str]]
    several: bool
    deleted_keys: list[str]
    paired: tuple[str, ...] = ()
    intervals: Mapping[str, str] = MappingProxyType({})


def compose_command(overrides: list[str], asked: bool) -> ComposedCommand:
    """Compose the config of a command line, without importing torch.

    Args:
        overrides: the overrides as the user typed them.
        asked: whether the user typed -m, which starts a sweep.

    Raises:
        SettingError: an override is not valid.
    """
    overrides, deleted = split_deletions(overrides)
    with initialized(config_folder()):
        choices = dict(expand_sweep(word) for word in overrides)
        try:
            config = compose([values[0] for values in choices.values() if values])
        except SettingError as error:
            raise _with_typed_values(error, overrides, asked) from None
        if not asked and not is_sweep(config):
            _require_single_values(overrides)
            _require_basic_sweeper(config)
        swept = _experiment_words(config) if is_sweep(config) else []
        if is_sweep(config):
            choices = dict(map(expand_sweep, swept)) | choices
            config = compose([values[0] for values in choices.values() if values])
        intervals: dict[str, str] = {}
        if sweeper_name(config) == SEARCH and (intervals := _typed_intervals([*swept, *overrides], choices, config)):
            choices |= {key: end_words(word) for key, word in intervals.items()}
            config = compose([values[0] for values in choices.values() if values])
    several = asked or is_sweep(config)
    if several:
        _require_one_setting_to_refit(config, choices)
    removed = delete_keys(config, deleted)
    if not several and len(removed) < len(deleted):
        raise _nothing_to_delete(next(key for key in deleted if key not in removed))
    return ComposedCommand(config, choices, several, deleted, _paired_keys(overrides, config, choices), intervals)


def _experiment_words(config: DictConfig) -> list[str]:
    """Return the settings that an experiment sweeps (`hydra.sweeper.params`), as overrides."""
    return [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]


def _typed_intervals(words: list[str], choices: dict[str, list[str]], config: DictConfig) -> dict[str, str]:
    """Return the overrides with intervals, as intervals of integers where the setting is an integer.

    Args:
        words: overrides; a later override of a key replaces an earlier one.
        choices: key -> overrides, one for each listed value; [] for an interval.
        config: the composed config without the intervals.

    Returns:
        Key -> override.
    """
    from semisup.config.reference import is_whole_number  # 13 ms, which other commands need not spend

    last = {word.partition("=")[0]: word for word in words}
    intervals = {key: last[key] for key, values in choices.items() if not values}
    return {
        key: integer_interval(word) if is_whole_number(key.lstrip("+"), config) else word
        for key, word in intervals.items()
    }


def _with_typed_values(error: SettingError, overrides: list[str], asked: bool) -> SettingError:
    """Rewrite an error about the first value of a swept setting, so that its message shows all typed values.

    For example, `tau=0.5: type threshold.tau=0.5` becomes `tau=0.5,0.9: type threshold.tau=0.5,0.9`.
    """
    for word in overrides:
        key, _, typed = word.partition("=")
        values = expand_sweep(word)[1]
        if key.lstrip("+~") != error.key or len(values) < 2:
            continue
        flag = "" if asked else "-m "
        allowed = re.sub(
            rf"type (\S+)={re.escape(str(error.value))}(?=$|[ ;,])", rf"type {flag}\1={typed}", error.allowed
        )
        return SettingError(error.key, typed, allowed, error.nearest)
    return error


def _paired_keys(overrides: list[str], config: DictConfig, choices: dict[str, list[str]]) -> tuple[str, ...]:
    """List the keys with paired values (`zip(...)`).

    Raises:
        SettingError: the keys have different numbers of values, or the sweeper does not run a grid.
    """
    keys = [each.get_key_element() for each in OverridesParser.create().parse_overrides(overrides) if is_paired(each)]
    require_equal_lengths({key: len(choices[key]) for key in keys})
    if keys and sweeper_name(config) not in GRIDS:
        allowed = "needs a grid (combinations of listed values); leave out hydra/sweeper, or type hydra/sweeper=halving"
        raise SettingError(keys[0], "zip(...)", allowed)
    return tuple(keys)


def validate_command(
    command: ComposedCommand,
    plan: Sequence[Sequence[str]] | None = None,
    infos: "dict[Dataset, DatasetInfo] | None" = None,
    *,
    show_notes: bool = True,
) -> "dict[Dataset, DatasetInfo]":
    """Validate the settings of all jobs, and list the images and classes of their data sets.

    In a sweep, each swept value is validated once, together with the first values of all other settings. At most
    MAX_CHECKS values are validated.

    Args:
        plan: the overrides of every job of a sweep, to find options (such as a threshold and a method) that cannot be
            combined; None = not known.
        infos: data sets that were listed before -> their classes and numbers of images; further data sets are added.
        show_notes: whether to print how the files of a data set were read.

    Returns:
        Data set -> its classes and numbers of images.

    Raises:
        SettingError: a setting is not valid.
        DataError: the data do not fit the settings.
    """
    infos = {} if infos is None else infos
    check = functools.partial(_check_swept if command.several else _check_one, show_notes=show_notes)
    check(command.config, infos)
    first = {each: values[0] for each, values in command.choices.items() if values}
    others = [
        (key, value) for key, values in command.choices.items() for value in values[1:] if key not in command.paired
    ]
    rows = list(zip(*(command.choices[key] for key in command.paired), strict=True))[1:]
    with initialized(config_folder()):
        for key, value in others[:MAX_CHECKS]:
            if is_scalar_override(value, command.config):
                with with_override(command.config, value) as config:
                    check(config, infos)
            else:
                config = compose(list({**first, key: value}.values()))
                delete_keys(config, command.deleted_keys)
                check(config, infos)
        for row in rows[:MAX_CHECKS]:
            config = compose(list({**first, **dict(zip(command.paired, row, strict=True))}.values()))
            delete_keys(config, command.deleted_keys)
            check(config, infos)
        if plan is not None:
            _compose_each_kind(command, plan)
    return infos


def _compose_each_kind(command: ComposedCommand, plan: Sequence[Sequence[str]]) -> None:
    """Compose the config of one job for each combination of options, to find options that cannot be combined.

    Args:
        plan: the overrides of every job of the sweep.
    """
    if command.config.hydra.runtime.choices["hydra/launcher"] != "basic" and not command.deleted_keys:
        return  # Hydra composes every job of a parallel launcher itself
    kinds: dict[frozenset[str], Sequence[str]] = {}
    for words in plan:
        kinds.setdefault(frozenset(composition_key(words, command.config)), words)
    if not command.deleted_keys:
        kinds.pop(_composed_kind(command), None)
    removed: set[str] = set()
    for words in kinds.values():
        removed.update(delete_keys(compose(list(words)), command.deleted_keys))
    for key in command.deleted_keys:
        if key not in removed:
            raise _nothing_to_delete(key)


def _composed_kind(command: ComposedCommand) -> frozenset[str]:
    """Return the combination of options (such as threshold and model) in the composed config of a command."""
    words = [values[0] for key, values in command.choices.items() if values and not key.startswith("hydra")]
    return frozenset(composition_key(words, command.config))


def _require_one_setting_to_refit(config: DictConfig, choices: dict[str, list[str]]) -> None:
    """Raise SettingError if `train.refit=true` is combined with several values of a setting.

    A refit trains on labeled and validation images together, so it has no validation accuracy by which to compare.
    """
    refit = choices.get("train.refit", [])
    if config.train.refit is not True or len(refit) > 1:
        return
    for key, words in choices.items():
        values = [word.partition("=")[2] for word in words]
        if len(values) > 1 and key not in REPETITIONS:
            allowed = f"trains with one value of each setting, but {key} has {len(values)} ({', '.join(values)})"
            raise SettingError("train.refit", True, f"{allowed}; type one of them, such as {key}={values[-1]}")


def _nothing_to_delete(key: str) -> SettingError:
    return SettingError("override", f"~{key}", "no config of this command has this key; remove the override")


def job_overrides(command: ComposedCommand, words: list[str]) -> list[list[str]] | None:
    """List the overrides (KEY=VALUE) of each job of a grid; None if the sweeper does not run a grid.

    Args:
        words: overrides for Hydra.

    Raises:
        SettingError: a value is a range, such as `interval(0, 1)`, which a grid cannot have.
    """
    if sweeper_name(command.config) not in GRIDS:
        return None
    params = {} if WITHOUT_PARAMS in words else command.config.hydra.sweeper.get("params") or {}
    swept = [f"{key}={value}" for key, value in params.items()]
    parsed = OverridesParser.create().parse_overrides([*swept, *words])
    own = [each for each in parsed if not each.key_or_group.startswith(("hydra.", "hydra/"))]
    for each in own:
        if each.is_sweep_override() and not each.is_discrete_sweep():
            raise SettingError(
                each.get_key_element(),
                str(each.input_line).partition("=")[2],
                "is a range: add hydra/sweeper=search to search it, or list its values",
            )
    grid = itertools.product(*(axis.rows for axis in axes(own)))
    return [[word for row in job for word in row] for job in grid]


def expected_jobs(command: ComposedCommand, plan: list[list[str]] | None) -> int | None:
    """Return the number of jobs of a sweep; None if the number is not known in advance."""
    trials = command.config.hydra.sweeper.get("n_trials") if plan is None else len(plan)
    return None if trials is None else int(trials)


def require_launcher(command: ComposedCommand) -> None:
    """Check that the programs and packages that a launcher needs, such as SLURM's, are installed.

    Raises:
        SettingError: a program or package is missing; the message names it.
    """
    launcher = str(command.config.hydra.runtime.choices["hydra/launcher"])
    if "ray" in command.config.hydra.launcher and importlib.util.find_spec("ray") is None:
        raise SettingError("hydra/launcher", launcher, "needs Ray; type pip install 'semisup[ray]'")
    missing = [each for each in ("srun", "sbatch") if shutil.which(each) is None]
    if launcher in SLURM_LAUNCHERS and missing:
        raise SettingError(
            "hydra/launcher",
            launcher,
            f"needs SLURM's {missing[0]}, which is not on PATH here; start it on a login node of the cluster, "
            "or use hydra/launcher=cores",
        )


def _check_one(
    config: DictConfig, infos: "dict[Dataset, DatasetInfo]", *, show_notes: bool, elsewhere: bool = False
) -> "RunConfig":
    """Validate the settings of one job, and check that they fit the images and classes of its data set.

    Args:
        config: composed config of the job.
        infos: data sets that were listed before; the data set of the job is added.
        show_notes: whether to print how the files of a data set were read.
        elsewhere: whether the job may run on another machine, with other devices.
    """
    from semisup.config import schema
    from semisup.images.ignored_files import describe_ignored
    from semisup.runner import compatibility

    run_config = schema.validate(without_hydra(config), elsewhere=elsewhere)
    run_config.tracking.require_installed()
    compatibility.check_output_folders(run_config)
    is_first = not infos  # the sizes of the other seeds and folds are nearly equal
    if run_config.dataset not in infos:
        infos[run_config.dataset] = _inspect(run_config.dataset, infos, show_notes=show_notes)
    info = infos[run_config.dataset]
    try:
        compatibility.check_compatibility(run_config, info.classes, info.counts, info.channels, sizes=is_first)
    except NoUnlabeledError as error:
        error.ignored = describe_ignored(getattr(info.index, "ignored", {}))
        raise
    return run_config


def _inspect(dataset: "Dataset", infos: "dict[Dataset, DatasetInfo]", *, show_notes: bool) -> "DatasetInfo":
    """List the images of a data set, and print its notes about how the files were read.

    Args:
        infos: data sets that were listed before; a note that one of them has too is not printed again.
        show_notes: whether to print notes.
    """
    from semisup.runtime.torchrun_env import is_rank_zero

    info = dataset.inspect()
    printed = {note for other in infos.values() for note in other.notes}
    for note in info.notes:
        if show_notes and note not in printed and is_rank_zero():
            print(f"semisup: {printable(note, 2000)}", file=sys.stderr)
    return info


def _check_swept(config: DictConfig, infos: "dict[Dataset, DatasetInfo]", *, show_notes: bool) -> None:
    """Validate the settings of one job of a sweep, and check that its control is a fair comparison.

    The control is the same run without unlabeled images. It must have the same learning rate at every step.
    """
    from semisup.runner import compatibility

    elsewhere = str(config.hydra.runtime.choices["hydra/launcher"]) not in LOCAL_LAUNCHERS
    run_config = _check_one(config, infos, show_notes=show_notes, elsewhere=elsewhere)
    if run_config.settings.train.refit and sweeper_name(config) != BASIC:
        raise SettingError(
            "train.refit",
            True,
            "gives runs without accuracy, which a search cannot compare; search without it, then "
            "refit the best setting",
        )
    compatibility.check_control_is_fair(run_config)


def is_sweep(config: DictConfig) -> bool:
    """Whether an experiment file asks for a sweep (`hydra.mode: MULTIRUN`), so that -m is not needed."""
    return str(config.hydra.mode) == "RunMode.MULTIRUN"


def _require_single_values(overrides: list[str]) -> None:
    for word in overrides:
        key, values = expand_sweep(word)
        if len(values) != 1:
            raise SettingError(key, word.partition("=")[2], "has several values; add -m to start a sweep")


def _require_basic_sweeper(config: DictConfig) -> None:
    """Raise SettingError if a command of one run chooses a sweeper such as `halving`, which would have no effect."""
    if (name := sweeper_name(config)) != BASIC:
        raise SettingError("hydra/sweeper", name, "is only used by a sweep; add -m to start a sweep")


def bind_group_settings(overrides: Iterable[str]) -> list[str]:
    """Rewrite overrides so that Hydra accepts settings of a config group whose option is swept.

    In `threshold=freematch,softmatch threshold.momentum=0.99`, the second override becomes
    `threshold.momentum=choice(0.99)`. Otherwise, Hydra would raise an error if the default threshold has no setting
    `momentum`.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = {each.key_or_group for each in parsed if each.is_sweep_override()}
    words = []
    for each in parsed:
        word = str(each.input_line)
        key, _, value = word.partition("=")
        below = each.key_or_group.partition(".")[0] in swept and "." in each.key_or_group
        bind = below and not each.is_sweep_override() and not each.is_delete()
        words.append(f"{key}=choice({value})" if bind else word)
    return words
