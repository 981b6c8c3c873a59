"""Settings that were added after runs had been recorded without them.

    head_lr: float | None = field(metadata=added(None))

With the declared value a run is, bit for bit, what it was before the setting existed, so the run id leaves it out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

ABSENT = "absent"


def added(absent: object) -> Mapping[str, object]:
    """Build the metadata of a field: `absent` is the value under which the setting has no effect."""
    return {ABSENT: absent}


def absent_values(settings: type) -> dict[str, object]:
    """Map the names of added settings of a dataclass to the values under which they have no effect."""
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    return {field.name: field.metadata[ABSENT] for field in fields if ABSENT in field.metadata}


def without_absent(settings: type, node: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the added settings of a config's node that have no effect."""
    absent = absent_values(settings)
    return {key: value for key, value in node.items() if key not in absent or value != absent[key]}
