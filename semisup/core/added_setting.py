"""Declare settings that were added in later versions, so that run ids of older runs stay the same.

    head_lr: float | None = field(metadata=added(None))

This field declares that `head_lr=None` has no effect: a run with this value has bit-identical results to a run from
before the setting existed. Therefore the run id does not include the setting if it has the declared value.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

ABSENT = "absent"


def added(absent: object) -> Mapping[str, object]:
    """Mark a dataclass field as a later addition.

    `absent` is the value with which the setting has no effect.
    """
    return {ABSENT: absent}


def absent_values(settings: type) -> dict[str, object]:
    """Map each setting that was added in a later version to the value with which it has no effect."""
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    return {field.name: field.metadata[ABSENT] for field in fields if ABSENT in field.metadata}


def without_absent(settings: type, node: Mapping[str, Any]) -> dict[str, Any]:
    """Remove later additions that have no effect from a config node.

    `settings` is the dataclass of the node.
    """
    absent = absent_values(settings)
    return {key: value for key, value in node.items() if key not in absent or value != absent[key]}
