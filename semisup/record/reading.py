"""What a run's folder holds, as plain data: nothing in it is executed or looked up."""

import json
from pathlib import Path
from typing import Any

import yaml

from semisup.errors import RecordError
from semisup.record.older import completed


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from disk; None where there is none, or not a whole one."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


DEEPEST = 8  # a config has 4 levels
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same language; the one in C is ten times as fast


def read_config(path: Path) -> dict[str, Any]:
    """A saved config as data, with the keys that came after it; nothing in it is executed or looked up, and aliases, a
    few of which can mean gigabytes, are refused.

    Raises:
        RecordError: there is none, or it is not one mapping of plain YAML.
    """
    try:
        raw = path.read_bytes()
        if b"*" in raw and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(raw, Loader=LOADER)):
            raise RecordError(f"{path.name}: has an alias, which a saved config never has")
        value = yaml.load(raw, Loader=LOADER)
    except OSError as error:
        raise RecordError(f"{path.name}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{path.name}: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise RecordError(f"{path.name}: holds no settings")
    if _depth(value) > DEEPEST:
        raise RecordError(f"{path.name}: nested deeper than any config, {DEEPEST} levels")
    return completed(value)


def _depth(value: Any) -> int:
    """How deep mappings and lists are nested; counts no further than it has to."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level, depth = [each for some in inner for each in some], depth + 1
    return depth


def read_value(text: str) -> Any:
    """One YAML value, as after the `=` of an override: `0.5`, `null`, `photos`.

    Raises:
        RecordError: it is not YAML.
    """
    try:
        return yaml.load(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise RecordError(f"{text}: {' '.join(str(error).split())}") from None
