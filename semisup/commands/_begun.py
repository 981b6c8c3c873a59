"""Which run a command means where it leaves a choice to the machine: `device=auto` on nodes with a GPU and without.

What `auto` means is part of what a run is called, so that another machine, typing the same, would make another run. A
run that is finished, or that has a state to go on from, is rather kept or continued, whichever machine began it.
"""

import contextlib
import itertools
from collections.abc import Iterator

from omegaconf import DictConfig

from semisup import build
from semisup.build import AUTO, Checked
from semisup.commands._run import folder_of
from semisup.errors import SettingError
from semisup.identity import Plain
from semisup.record import is_finished
from semisup.record.checkpoint import newest


def as_begun(config: DictConfig) -> Checked:
    """The gate, for a config that may say `auto`.

    Returns:
        What this machine makes of it, unless another machine's run is there and this one's is not.

    Raises:
        SettingError: as `build.check`.
    """
    asked = [key for key in AUTO if config.get(key) == "auto"]
    checked = build.check(config)
    if not asked or _is_there(checked):
        return checked
    others = [each for each in _made_elsewhere(checked, asked) if _is_there(each)]
    for other in sorted(others, key=lambda each: not is_finished(folder_of(each))):
        with contextlib.suppress(SettingError):  # it cannot be continued here: there is no such device
            return kept_or_for_here(other.plain)
    return checked


def kept_or_for_here(plain: Plain) -> Checked:
    """The gate for what is finished, wherever it was made, and for what this machine is to make.

    Raises:
        SettingError: as `build.check`.
    """
    try:
        return build.check(plain)
    except SettingError:
        wherever = build.check(plain, elsewhere=True)
        if is_finished(folder_of(wherever)):
            return wherever
        raise


def _is_there(checked: Checked) -> bool:
    folder = folder_of(checked)
    return is_finished(folder) or bool(newest(folder / "checkpoints", "last"))


def _made_elsewhere(checked: Checked, asked: list[str]) -> Iterator[Checked]:
    """What other machines can have made of it."""
    for values in itertools.product(*(AUTO[key] for key in asked)):
        plain = checked.plain | dict(zip(asked, values, strict=True))
        if plain != checked.plain:
            yield build.check(plain, elsewhere=True)
