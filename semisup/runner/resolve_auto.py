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
from semisup.config.run_id import Plain, run_id
from semisup.config.schema import AUTO, Checked
from semisup.errors import SettingError
from semisup.record import is_finished
from semisup.record.checkpoint import newest
from semisup.runner.result import folder_of


def as_begun(config: DictConfig) -> Checked:
    """The gate, for a config that may say `auto`.

    Returns:
        What this machine makes of it, unless another machine's run is there and this one's is not.

    Raises:
        SettingError: as `build.check`.
    """
    asked = [key for key in AUTO if config.get(key) == "auto"]
    checked = schema.check(config)
    folder = folder_of(checked)
    if not asked or _is_there(folder):
        return checked
    elsewhere = {folder.parent / run_id(plain): plain for plain in _made_elsewhere(checked.plain, asked)}
    found = [each for each in elsewhere if _is_there(each)]
    for each in sorted(found, key=lambda each: not is_finished(each)):
        with contextlib.suppress(SettingError):  # it cannot be continued here: there is no such device
            return kept_or_for_here(elsewhere[each])
    return checked


def kept_or_for_here(plain: Plain) -> Checked:
    """The gate for what is finished, wherever it was made, and for what this machine is to make.

    Raises:
        SettingError: as `build.check`.
    """
    try:
        return schema.check(plain)
    except SettingError:
        wherever = schema.check(plain, elsewhere=True)
        if is_finished(folder_of(wherever)):
            return wherever
        raise


def _is_there(folder: Path) -> bool:
    return is_finished(folder) or bool(newest(folder / "checkpoints", "last"))


def _made_elsewhere(plain: Plain, asked: list[str]) -> Iterator[Plain]:
    """What other machines can have made of it."""
    for values in itertools.product(*(AUTO[key] for key in asked)):
        yield plain | dict(zip(asked, values, strict=True))
