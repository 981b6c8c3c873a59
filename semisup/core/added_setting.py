"""Mark settings that did not exist in earlier versions, so that the run ids of old runs stay the same.

    head_lr: float | None = field(metadata=added(None))

This field is a setting that was added later. With the value None it has no effect: the results are bit-identical to
those of a version without the setting. The run id includes the setting only if it has another value.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

ABSENT = "absent"


def added(absent: object) -> Mapping[str, object]:
    """Build the metadata of a dataclass field for a setting that did not exist in earlier versions.

    Args:
        absent: the value with which the setting has no effect.
    """
    return {ABSENT: absent}


def absent_values(settings: type) -> dict[str, object]:
    """Map each setting that did not exist in earlier versions to the value with which it has no effect.

    Args:
        settings: a dataclass; its fields are the settings.
    """
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    return {field.name: field.metadata[ABSENT] for field in fields if ABSENT in field.metadata}


def without_absent(settings: type, node: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the settings that did not exist in earlier versions and have no effect from a section of a config.

    Args:
        settings: the dataclass of the section.
        node: the section, setting -> value.
    """
    absent = absent_values(settings)
    return {key: value for key, value in node.items() if key not in absent or value != absent[key]}
