"""Time functions in alternation, so that the load of the machine affects all of them alike.

Each round times every function once, in an order that rotates from round to round. The ratio of two functions is
computed in each round, and the median over the rounds is the result.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Plan:
    """Options of a benchmark run.

    quick: whether to use smaller sizes, such as fewer images and steps
    rounds: measurements of each function, at least 5
    only: names of the entries to measure, or prefixes of names; empty = all
    """

    quick: bool
    rounds: int
    only: tuple[str, ...] = ()

    @property
    def shortest(self) -> float:
        """Shortest time per round and function, in seconds; faster functions are called repeatedly."""
        return 0.1 if self.quick else 0.25

    def wants(self, *names: str) -> bool:
        """Whether the user selected at least one of these benchmark entries.

        Args:
            names: names of entries, or common prefixes of the names of several entries.
        """
        return not self.only or any(a.startswith(b) or b.startswith(a) for a in names for b in self.only)


@dataclass(frozen=True)
class Times:
    """Seconds per call in each round: wall-clock time and CPU time of this process."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return statistics.median(self.wall)


@dataclass(frozen=True)
class Measured:
    """Result of one benchmark entry.

    value: a ratio, or a quantity in the unit of the entry
    cpu: the same value computed from CPU time, which depends less on the load of the machine; None if other processes
        do the work
    spread: lowest and highest value over the rounds
    rounds: number of rounds
    seconds: name of each function -> its median seconds per call
    """

    value: float
    cpu: float | None
    spread: tuple[float, float]
    rounds: int
    seconds: Mapping[str, float]


def in_turn(rounds: int, works: Mapping[str, Work], shortest: float) -> dict[str, Times]:
    """Time each function in each round, calling it repeatedly for about `shortest` seconds.

    Before the first round, each function is called twice to determine the number of repetitions.
    """
    repeats = {name: _repeats(work, shortest) for name, work in works.items()}
    names, found = list(works), {name: ([], []) for name in works}  # type: dict[str, tuple[list[float], list[float]]]
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            began, used = time.perf_counter(), time.process_time()
            for _ in range(repeats[name]):
                works[name]()
            found[name][0].append((time.perf_counter() - began) / repeats[name])
            found[name][1].append((time.process_time() - used) / repeats[name])
    return {name: Times(tuple(wall), tuple(cpu)) for name, (wall, cpu) in found.items()}


def _repeats(work: Work, shortest: float) -> int:
    work()
    began = time.perf_counter()
    work()
    return max(1, round(shortest / max(time.perf_counter() - began, 1e-6)))


def ratio(times: Mapping[str, Times], above: str, below: str, *, own_work: bool = True) -> Measured:
    """Compute the ratio of the times of two functions, as the median over rounds.

    Args:
        times: name of each function -> its times.
        above, below: names of the functions in the numerator and in the denominator.
        own_work: False if other processes do the work; then no ratio of CPU times is computed.
    """
    a, b = times[above], times[below]
    shares = [x / y for x, y in zip(a.wall, b.wall, strict=True)]
    cpu = statistics.median(x / y for x, y in zip(a.cpu, b.cpu, strict=True)) if own_work else None
    seconds = {name: times[name].seconds for name in (above, below)}
    return Measured(statistics.median(shares), cpu, (min(shares), max(shares)), len(shares), seconds)


def single(values: list[float], *, seconds: Mapping[str, float] | None = None) -> Measured:
    """Summarize a quantity by its median over the rounds."""
    return Measured(statistics.median(values), None, (min(values), max(values)), len(values), seconds or {})
