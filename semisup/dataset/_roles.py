"""Roles of data set settings: how the run id and the commands that compare runs treat a setting.

    cache: str | None = field(metadata=MACHINE)

The role of a setting is declared in the metadata of its dataclass field, as in this example. A setting without a role
can change results.
"""

import dataclasses
from collections.abc import Mapping
from enum import StrEnum


class KeyRole(StrEnum):
    """Role of a data set setting: how the run id, `semisup reproduce` and `semisup compare` treat it."""

    PATH = "path"
    """The setting is the path of the data. The run id includes only its last name; `reproduce` accepts another path."""

    MACHINE = "machine"
    """The setting says how this machine reads the data. It changes no result, is not in the run id, and `reproduce`
    uses the caller's value."""

    NO_EFFECT = "no effect"
    """The setting alone changes no result, so it is not in the run id."""

    DIAGNOSTICS = "diagnostics"
    """The setting is the path of a file that only diagnostics use. The run id is that of a run without the file, and
    `reproduce` accepts another path."""

    WHEN_SET = "when set"
    """The setting was added later. If it is null, it is not in the run id, so that runs keep the ids that they had
    before the setting existed."""

    FOLD = "fold"
    """The setting says which part of the labels is held out. If it is null, it is not in the run id. `compare` shows
    runs that differ only in this setting as one row."""

    SPLIT_SEED = "split seed"
    """The setting is the seed of the split. If it equals the seed of the run in every run, `compare` does not treat it
    as a setting in which the runs differ."""


PATH: Mapping[str, KeyRole] = {"role": KeyRole.PATH}
MACHINE: Mapping[str, KeyRole] = {"role": KeyRole.MACHINE}
NO_EFFECT: Mapping[str, KeyRole] = {"role": KeyRole.NO_EFFECT}
DIAGNOSTICS: Mapping[str, KeyRole] = {"role": KeyRole.DIAGNOSTICS}
WHEN_SET: Mapping[str, KeyRole] = {"role": KeyRole.WHEN_SET}
FOLD: Mapping[str, KeyRole] = {"role": KeyRole.FOLD}
SPLIT_SEED: Mapping[str, KeyRole] = {"role": KeyRole.SPLIT_SEED}


def keys_with_role(settings: type, *roles: KeyRole) -> list[str]:
    """List the settings of a data set with one of these roles, in the order of the fields.

    Args:
        settings: the dataclass of the data set.
    """
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    return [field.name for field in fields if field.metadata.get("role") in roles]
