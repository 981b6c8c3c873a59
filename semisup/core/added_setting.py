"""Mark settings that did not exist in earlier versions, so that the run ids of old runs stay the same.

    head_lr: float | None = field(metadata=added(None))

Here, the setting `head_lr` was added in a later version. With the value None it has no effect: the results are
bit-identical to those of earlier versions, and the run id does not include it.
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
    """Copy a config section, but leave out the settings marked by `added` whose value has no effect.

    Args:
        settings: the dataclass of the section.
        node: the section: name of each setting -> value.
    """
    absent = absent_values(settings)
    return {key: value for key, value in node.items() if key not in absent or value != absent[key]}
