"""Address the values of nested dictionaries and lists by dotted keys such as `train.epochs` and `widths[1]`."""

from collections.abc import Iterator
from typing import Any


def leaves(before: Any, after: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield the dotted key of every value that is neither a dictionary nor a list, and the value in two containers.

    Args:
        before, after: containers with the same structure.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            yield from leaves(before[key], after[key], f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(before, list) and isinstance(after, list):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from leaves(*pair, f"{prefix}[{number}]")
    else:
        yield prefix, (before, after)


def value_at(values: Any, key: str) -> Any:
    """Return the value at a key such as `widths[1]`; if it does not exist, the value of its nearest parent."""
    for part in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(values, dict) and part in values:
            values = values[part]
        elif isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
    return values


def dotted_keys(config: Any, prefix: str = "") -> list[str]:
    """List the keys of nested dictionaries in dotted form, such as `threshold` and `threshold.tau`."""
    if not isinstance(config, dict):
        return []
    own = [f"{prefix}{key}" for key in config]
    return own + [each for key, value in config.items() for each in dotted_keys(value, f"{prefix}{key}.")]
