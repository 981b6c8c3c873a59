"""Find the run of a command with `device=auto` or `precision=auto`.

The values that replace `auto` depend on the machine, and they are part of the run's id. So the same command on another
machine would start another run. To avoid this, a run that was begun on another machine is reused or continued.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from semisup.config import schema
from semisup.config.run_id import ConfigDict, run_id
from semisup.config.schema import AUTO_VALUES, RunConfig
from semisup.errors import SettingError
from semisup.record import is_finished
from semisup.record.checkpoint import newest
from semisup.runner.result import run_folder


def resolve_auto(config: DictConfig) -> RunConfig:
    """Replace the values `auto` in a config, and validate it.

    The values are those of this machine, unless a run with the values of another machine exists and one with the values
    of this machine does not.

    Returns:
        The validated config.

    Raises:
        SettingError: a setting is not valid (see `schema.validate`).
    """
    auto_keys = [key for key in AUTO_VALUES if config.get(key) == "auto"]
    run_config = schema.validate(config)
    folder = run_folder(run_config)
    if not auto_keys or _has_state(folder):
        return run_config
    candidates = {folder.parent / run_id(each): each for each in _other_machine_configs(run_config.config, auto_keys)}
    existing = [each for each in candidates if _has_state(each)]
    for each in sorted(existing, key=lambda each: not is_finished(each)):
        with contextlib.suppress(SettingError):  # it cannot be continued here, without its device
            return reusable_or_local(candidates[each])
    return run_config


def reusable_or_local(config: ConfigDict) -> RunConfig:
    """Validate a config. If its run is finished, the device of the run need not exist on this machine.

    Raises:
        SettingError: a setting is not valid (see `schema.validate`).
    """
    try:
        return schema.validate(config)
    except SettingError:
        finished = schema.validate(config, elsewhere=True)
        if is_finished(run_folder(finished)):
            return finished
        raise


def _has_state(folder: Path) -> bool:
    """Whether the run in `folder` is finished, or has a checkpoint from which it can continue."""
    return is_finished(folder) or bool(newest(folder / "checkpoints", "last"))


def _other_machine_configs(config: ConfigDict, auto_keys: list[str]) -> Iterator[ConfigDict]:
    """Yield the config for each combination of values that `auto` could have on another machine."""
    for values in itertools.product(*(AUTO_VALUES[key] for key in auto_keys)):
        yield config | dict(zip(auto_keys, values, strict=True))
