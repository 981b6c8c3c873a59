"""Roles of a data set's settings, declared on the fields of its dataclass; a field without one can change a number.

    cache: str | None = field(metadata=MACHINE)

The run id, `semisup reproduce` and `semisup compare` read the declarations, so a new data set needs no list elsewhere.
"""

import dataclasses
from collections.abc import Mapping
from enum import StrEnum


class KeyRole(StrEnum):
    """Role of a setting."""

    PATH = "path"
    """Where the data are: in the run id by its last name only, and `reproduce` accepts another."""

    MACHINE = "machine"
    """How this machine reads them: changes no number, and `reproduce` takes the caller's."""

    NO_EFFECT = "no effect"
    """Changes no number by itself: not in the run id."""

    WHEN_SET = "when set"
    """Not in the run id while it is null, so that runs without it keep the ids of versions that did not have it."""

    FOLD = "fold"
    """Which part of the labels is held out: as WHEN_SET, and `compare` joins runs that differ in it to one row."""

    SPLIT_SEED = "split seed"
    """Seed of the split: where it equals the seed of every run, `compare` does not count it as a setting."""


PATH: Mapping[str, KeyRole] = {"role": KeyRole.PATH}
MACHINE: Mapping[str, KeyRole] = {"role": KeyRole.MACHINE}
NO_EFFECT: Mapping[str, KeyRole] = {"role": KeyRole.NO_EFFECT}
WHEN_SET: Mapping[str, KeyRole] = {"role": KeyRole.WHEN_SET}
FOLD: Mapping[str, KeyRole] = {"role": KeyRole.FOLD}
SPLIT_SEED: Mapping[str, KeyRole] = {"role": KeyRole.SPLIT_SEED}


def keys_with_role(settings: type, *roles: KeyRole) -> list[str]:
    """Names of the settings of a data set class that have one of these roles, in the order of its fields."""
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    return [field.name for field in fields if field.metadata.get("role") in roles]
