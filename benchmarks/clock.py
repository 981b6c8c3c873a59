"""Works are measured in turn, round by round, and compared within a round: what a busy machine slows, it slows for all.

A ratio is the median over the rounds of (seconds of one) / (seconds of the other in the same round); the order of the
works turns by one from round to round.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Plan:
    """`quick`: smaller sizes, for a look; `rounds`: measurements of each work, 5 or more; `only`: names of entries
    that are wanted, or beginnings of names; none = all."""

    quick: bool
    rounds: int
    only: tuple[str, ...] = ()

    @property
    def shortest(self) -> float:
        """Seconds: a work that is done sooner is done several times a round."""
        return 0.1 if self.quick else 0.25

    def wants(self, *names: str) -> bool:
        """Whether one of these entries, or one whose name begins like this, is wanted."""
        return not self.only or any(a.startswith(b) or b.startswith(a) for a in names for b in self.only)


@dataclass(frozen=True)
class Times:
    """Of one work: seconds a call in each round, by the clock and of this process's CPU time."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return statistics.median(self.wall)


@dataclass(frozen=True)
class Measured:
    """What one entry came to.

    value: a ratio, or in the entry's unit
    cpu: the same ratio of CPU time, which other programs on the machine change less; None where others do the work
    spread: its least and its largest value over the rounds
    rounds: how many there were
    seconds: of each work, median a call
    """

    value: float
    cpu: float | None
    spread: tuple[float, float]
    rounds: int
    seconds: Mapping[str, float]


def in_turn(rounds: int, works: Mapping[str, Work], shortest: float) -> dict[str, Times]:
    """Call each work once to warm up, then in each of the rounds; `shortest` seconds at least, by calling again."""
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
    """`above` over `below`; not `own_work`: other processes do it, and CPU time of this one says nothing."""
    a, b = times[above], times[below]
    shares = [x / y for x, y in zip(a.wall, b.wall, strict=True)]
    cpu = statistics.median(x / y for x, y in zip(a.cpu, b.cpu, strict=True)) if own_work else None
    seconds = {name: times[name].seconds for name in (above, below)}
    return Measured(statistics.median(shares), cpu, (min(shares), max(shares)), len(shares), seconds)


def single(values: list[float], *, seconds: Mapping[str, float] | None = None) -> Measured:
    """A quantity by itself: the median."""
    return Measured(statistics.median(values), None, (min(values), max(values)), len(values), seconds or {})
