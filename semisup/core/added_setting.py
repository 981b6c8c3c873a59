"""Declare settings that were added after runs had been recorded without them.

    head_lr: float | None = field(metadata=added(None))

This field declares that `head_lr=None` has no effect: a run with this value has bit-identical results to a run from
before the setting existed. Therefore the run id does not include the setting if it has the declared value.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

ABSENT = "absent"


def added(absent: object) -> Mapping[str, object]:
    """Build the metadata of a dataclass field; `absent` is the value at which the setting has no effect."""
    return {ABSENT: absent}


def absent_values(settings: type) -> dict[str, object]:
    """Map the name of each added setting of a dataclass to the value at which the setting has no effect."""
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    return {field.name: field.metadata[ABSENT] for field in fields if ABSENT in field.metadata}


def without_absent(settings: type, node: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the added settings that have no effect from a node of a config; `settings` is the node's dataclass."""
    absent = absent_values(settings)
    return {key: value for key, value in node.items() if key not in absent or value != absent[key]}
