"""A pool that is memory-mapped instead of held: our step over the bare model's."""

from collections.abc import Iterator

from bench.clock import Measured, Plan


def why_not() -> str:
    return "this version has no memory-mapped pool"


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    yield from ()
