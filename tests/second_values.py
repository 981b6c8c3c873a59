"""Other valid values for a setting, derived from its type and from the range that its own option accepts."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any

from semisup.errors import SettingError

NUMBERS = (0.9, 0.1, 0.5, 0.3, 0.99, 0.0, 2.0, 5.0, 9.0, 20.0)
"""Tried in turn; a setting refuses those outside its range."""


def second_values(settings: Any, key: str) -> Iterator[Any]:
    """Yield valid values of the setting `key` that differ from its present one.

    Args:
        settings: the settings object of any option (a frozen dataclass).
        key: one of its fields.
    """
    present = getattr(settings, key)
    for value in _candidates(settings, key):
        if value == present:
            continue
        try:
            dataclasses.replace(settings, **{key: value})
        except (SettingError, ValueError):
            continue
        yield value


def _candidates(settings: Any, key: str) -> list[Any]:
    annotation = typing.get_type_hints(type(settings))[key]
    kinds = set(typing.get_args(annotation)) if isinstance(annotation, types.UnionType) else {annotation}
    if bool in kinds:
        return [True, False]
    if int in kinds:
        return [2, 3, 1, 7, 20]
    if float in kinds:
        return list(NUMBERS)
    assert str in kinds, f"{type(settings).__name__}.{key}: no rule for the values of {annotation}"
    return _choices(settings, key)


def _choices(settings: Any, key: str) -> list[str]:
    """The names that a setting of type str accepts, read from the error of one that it refuses."""
    try:
        dataclasses.replace(settings, **{key: "no such name"})
    except SettingError as error:
        return error.allowed.removeprefix("must be one of ").split(", ")
    raise AssertionError(f"{type(settings).__name__}.{key} accepts any text")
