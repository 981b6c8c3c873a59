"""Read and check the settings of the sweepers `halving` and `search` (conf/hydra/sweeper/)."""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, OmegaConf

from semisup.errors import SettingError
from semisup.sweep.halving import group_by_setting
from semisup.sweep.job_order import REPETITIONS
from semisup.sweep.search import build_distributions, parse_space
from semisup.text import counted, listed

if TYPE_CHECKING:
    from semisup.sweep.preflight import ComposedCommand

BASIC, HALVING, SEARCH = "basic", "halving", "search"
GRIDS = (BASIC, HALVING)
"""Sweepers that run a grid: all combinations of listed values."""

SweeperSettings = dict[str, Any]
"""Name and settings of a sweeper, as plain data."""


def sweeper_name(config: DictConfig) -> str:
    """Return the name of the sweeper in a composed config that includes Hydra's settings."""
    return str(config.hydra.runtime.choices["hydra/sweeper"])


def sweeper_settings(
    command: "ComposedCommand", words: list[str], plan: Sequence[Sequence[str]] | None
) -> SweeperSettings | None:
    """Read and check the settings of the sweeper of a command.

    Args:
        words: overrides for Hydra.
        plan: the overrides of each job; None if the sweeper does not run a grid.

    Returns:
        Name and settings of the sweeper; None for a sweeper of another package.

    Raises:
        SettingError: a setting is not valid, the sweeper's package is not installed, or the sweeper cannot be used with
            the swept settings.
    """
    name = sweeper_name(command.config)
    node = OmegaConf.to_container(command.config.hydra.sweeper)
    assert isinstance(node, dict)
    if name == BASIC:
        return {"name": BASIC}
    if name == HALVING:
        return {"name": HALVING} | _halving_settings(command, node, plan or [])
    if name == SEARCH:
        return {"name": SEARCH} | _search_settings(command, node, words)
    return None


def _halving_settings(
    command: "ComposedCommand", node: dict[Any, Any], plan: Sequence[Sequence[str]]
) -> SweeperSettings:
    rungs, eta = node.get("rungs"), cast("float", node.get("eta"))
    shares = rungs if isinstance(rungs, list) and all(_is_number(each) and 0 < each < 1 for each in rungs) else []
    if not shares or shares != sorted(set(shares)):
        allowed = "must be a list of increasing shares of the training in (0, 1), such as [0.2,0.5]"
        raise SettingError("hydra.sweeper.rungs", rungs, allowed)
    if not _is_number(eta) or eta <= 1:
        allowed = "must be above 1, such as 3: each time settings are compared, 1/eta of them continue"
        raise SettingError("hydra.sweeper.eta", eta, allowed)
    _require_one_metric(command, HALVING)
    _require_same_data(plan)
    if len(group_by_setting(plan)) < 2:
        allowed = "needs several values of a setting to compare, such as threshold.tau=0.7,0.9; several values of "
        allowed += f"{listed(REPETITIONS, 'and')} only repeat a setting"
        raise SettingError("hydra/sweeper", HALVING, allowed)
    _require_separate_evaluations(command.config, shares)
    return {"rungs": shares, "eta": eta}


def _require_one_metric(command: "ComposedCommand", sweeper: str) -> None:
    """Raise SettingError if `train.select_by`, the metric by which a sweeper compares runs, has several values."""
    words = command.choices.get("train.select_by", ["one value"])
    if len(words) != 1:
        allowed = f"hydra/sweeper={sweeper} compares runs by this metric, so type one value, such as accuracy"
        raise SettingError("train.select_by", "several values", allowed)


def _require_same_data(plan: Sequence[Sequence[str]]) -> None:
    """Raise SettingError if jobs differ in a data set setting other than `dataset.fold` and `dataset.split_seed`.

    Args:
        plan: the overrides of each job.
    """
    common = set.intersection(*map(set, plan)) if plan else set()
    swept = dict.fromkeys(word for job in plan for word in job if word not in common)
    for word in swept:
        key = word.partition("=")[0].lstrip("+")
        if key.partition(".")[0].partition("@")[0] != "dataset" or key in REPETITIONS:
            continue
        values = [value for each in swept for name, _, value in [each.partition("=")] if name.lstrip("+") == key]
        allowed = "hydra/sweeper=halving compares runs on the same data (only dataset.fold and dataset.split_seed may "
        allowed += f"have several values); type one value, such as {key}={values[0]}, or leave out "
        raise SettingError(key, ",".join(values), f"{allowed}hydra/sweeper=halving")


def _require_separate_evaluations(config: DictConfig, shares: list[float]) -> None:
    """Raise SettingError if no evaluation lies between two rungs, or between the last rung and the end of the training.

    With a training in epochs and evaluations in steps, a rung is reached at the first evaluation after an epoch has
    ended. With a training in steps and evaluations in epochs, nothing is checked.

    Args:
        config: the composed config.
        shares: the rungs, which are shares of the training after which settings are compared; in increasing order.
    """
    train = config.train
    if train.steps is not None and train.evaluate_every_steps is not None:
        length, every, unit = train.steps, train.evaluate_every_steps, "step"
        advice = "a smaller train.evaluate_every_steps"
    elif train.epochs is not None and train.evaluate_every_steps is None:
        length, every, unit = train.epochs, train.evaluate_every, "epoch"
        advice = "a smaller train.evaluate_every"
    elif train.epochs is not None:
        length, every, unit, advice = train.epochs, 1, "epoch", "train.steps in place of train.epochs"
    else:
        return
    if not all(isinstance(each, int) and each > 0 for each in (length, every)):
        return  # the settings of the training are checked with those of the first run
    stops = [*(min(math.ceil(round(share * length, 9) / every) * every, length) for share in shares), length]
    for number, stop in enumerate(stops[:-1]):
        if stop == stops[number + 1]:
            other = "the end of the training" if number + 1 == len(shares) else f"the rung {shares[number + 1]:g}"
            allowed = f"the rung {shares[number]:g} and {other} have the same evaluation, after {counted(stop, unit)}"
            raise SettingError("hydra.sweeper.rungs", shares, f"{allowed}; choose other rungs or {advice}")


def _search_settings(command: "ComposedCommand", node: dict[Any, Any], words: list[str]) -> SweeperSettings:
    for key in ("n_trials", "n_jobs"):
        value = node.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SettingError(f"hydra.sweeper.{key}", value, "must be an integer of at least 1")
    seed: Any = (node.get("sampler") or {}).get("seed")
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise SettingError("hydra.sweeper.sampler.seed", seed, "must be an integer in [0, 2^32)")
    swept = [f"{key}={value}" for key, value in (node.get("params") or {}).items()]
    own = [*swept, *(word for word in words if not word.lstrip("+~").startswith(("hydra.", "hydra/")))]
    own = [command.intervals.get(word.partition("=")[0], word) for word in own]
    space = parse_space(own)
    if not space.swept:
        allowed = "has nothing to search; give a setting several values, such as 'threshold.tau=interval(0.6,0.99)'"
        raise SettingError("hydra/sweeper", SEARCH, allowed)
    for key, override in space.swept.items():
        if (bare := key.lstrip("+")) in REPETITIONS:
            typed = str(override.input_line).partition("=")[2]
            noun = "fold" if bare == "dataset.fold" else "seed"
            allowed = (
                f"a search compares single runs; search one {noun}, then repeat the best settings with {bare}=0,1,2"
            )
            raise SettingError(bare, typed, allowed)
    _require_one_metric(command, SEARCH)
    if find_spec("optuna") is None:
        raise SettingError("hydra/sweeper", SEARCH, "needs Optuna; type pip install 'semisup[optuna]'")
    build_distributions(space)  # raises an error for an invalid range before the worker starts
    select_by = str(command.config.train.select_by)
    return {key: node[key] for key in ("n_trials", "n_jobs")} | {"seed": seed, "words": own, "select_by": select_by}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
