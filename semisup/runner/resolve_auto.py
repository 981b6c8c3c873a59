"""Which run a command means where it leaves a choice to the machine: `device=auto` on nodes with a GPU and without.

What `auto` means is part of what a run is called, so that another machine, typing the same, would make another run. A
run that is finished, or that has a state to go on from, is rather kept or continued, whichever machine began it.
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
    """The gate, for a config that may say `auto`.

    Returns:
        What this machine makes of it, unless another machine's run is there and this one's is not.

    Raises:
        SettingError: as `build.check`.
    """
    asked = [key for key in AUTO_VALUES if config.get(key) == "auto"]
    run_config = schema.validate(config)
    folder = run_folder(run_config)
    if not asked or _has_state(folder):
        return run_config
    elsewhere = {folder.parent / run_id(plain): plain for plain in _other_machine_configs(run_config.config, asked)}
    found = [each for each in elsewhere if _has_state(each)]
    for each in sorted(found, key=lambda each: not is_finished(each)):
        with contextlib.suppress(SettingError):  # it cannot be continued here: there is no such device
            return reusable_or_local(elsewhere[each])
    return run_config


def reusable_or_local(config: ConfigDict) -> RunConfig:
    """The gate for what is finished, wherever it was made, and for what this machine is to make.

    Raises:
        SettingError: as `build.check`.
    """
    try:
        return schema.validate(config)
    except SettingError:
        wherever = schema.validate(config, elsewhere=True)
        if is_finished(run_folder(wherever)):
            return wherever
        raise


def _has_state(folder: Path) -> bool:
    return is_finished(folder) or bool(newest(folder / "checkpoints", "last"))


def _other_machine_configs(config: ConfigDict, asked: list[str]) -> Iterator[ConfigDict]:
    """What other machines can have made of it."""
    for values in itertools.product(*(AUTO_VALUES[key] for key in asked)):
        yield config | dict(zip(asked, values, strict=True))
