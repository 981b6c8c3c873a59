"""Run a generator to its end."""

from collections.abc import Generator
from typing import Any, TypeVar

Result = TypeVar("Result")


def returned_value(generator: Generator[Any, None, Result]) -> Result:
    """Run a generator to its end, discard what it yields, and return its return value."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            result: Result = end.value
            return result
