"""Kills, and what comes of them."""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from semisup.config.schema import RunConfig
from semisup.runner.result import run_folder
from tests.kill.attempt import Attempt, attempt, settings
from tests.kill.defects import Defect, Planted
from tests.kill.oracles import lost_progress, wrong_end
from tests.kill.points import EVENTS, Point
from tests.kill.power import outages

KILLED = -9
LIFE, LIVES = (20, 60), 8
"""The points that a process of a crash loop may live for, of which few come further than the one before; how many die
before one may live to its end."""


@dataclass(frozen=True)
class Kill:
    """At which point of a process, and whether in the middle of a write."""

    number: int
    point: Point
    torn: bool = False

    @property
    def kind(self) -> str:
        return "write, half of it" if self.torn else self.point.kind


@dataclass
class Trial:
    """One run of RUNS and its reference: the folder of a run that nothing interrupted.

    points: of that run; defect: what is broken in all of its processes
    """

    run: str
    place: Path
    defect: Defect | None = None
    points: tuple[Point, ...] = ()
    count: int = field(default=0)

    def __post_init__(self) -> None:
        self.config = settings(self.run, self.place)
        done = attempt(self._settings("reference"), tell=True, defect=self.defect)
        if done.status != 0:
            raise AssertionError(f"not even an uninterrupted run of {self.run} ends: {done.errors}")
        self.points, self.operations, self.audited = done.points, done.operations, done.audited
        self.reference = run_folder(self._settings("reference"))

    def kills(self) -> list[Kill]:
        """Every point, and every write once more for its middle."""
        return list(both(self.points))

    def survives(self, kills: list[Kill], damage: Callable[[Path], bool] | None = None) -> str:
        """Kill a process of one run at each of `kills`, one after the other, let the last one end, and judge.

        Args:
            kills: one for each process but the last.
            damage: done to the folder before the last process starts; returns whether its last save is gone.

        Returns:
            what is wrong, or "".
        """
        self.count += 1
        config = self._settings(f"{self.count}")
        attempts: list[Attempt] = []
        for kill in kills:
            attempts.append(attempt(config, kill_at=kill.number, torn=kill.torn, defect=self.defect))
            if attempts[-1].status != KILLED:
                return f"was to be killed at {kill}, and ended with {attempts[-1].status}: {attempts[-1].errors}"
        if damage is not None and damage(run_folder(config)):
            attempts = []
        attempts.append(attempt(config, defect=self.defect))
        return self._judged(config, attempts)

    def ends_by_itself(self, kill: Kill, harm: str, statuses: tuple[int, ...]) -> str:
        """Harm a process at a point where it may go on; it must end with one of the statuses and, if that is not 0,
        leave what the next process continues. Returns what is wrong, or ""."""
        self.count += 1
        config = self._settings(f"{self.count}")
        first = attempt(config, kill_at=kill.number, torn=kill.torn, harm=harm)
        if first.status not in statuses or "Traceback" in first.errors:
            return f"ended with {first.status}: {first.errors}"
        if harm == "full disk" and not all(word in first.errors for word in (str(run_folder(config)), "No space left")):
            return f"does not say which file had no room: {first.errors}"
        return self._judged(config, [first] if first.status == 0 else [first, attempt(config)])

    def _judged(self, config: RunConfig, attempts: list[Attempt]) -> str:
        """What is wrong with a run whose last process was to end it, or "": then its folder goes."""
        if attempts[-1].status != 0:
            return f"could not be continued: {attempts[-1].errors}"
        wrong = lost_progress(attempts) or wrong_end(self.reference, run_folder(config))
        if not wrong:
            shutil.rmtree(config.run.output_root)
        return wrong

    def of_a_second_process(self, kill: Kill) -> list[Kill]:
        """Every point of a process that continues after `kill`, up to its first event."""
        config = self._settings("second")
        attempt(config, kill_at=kill.number)
        points = attempt(config, tell=True).points
        shutil.rmtree(config.run.output_root)
        starting = next(number for number, point in enumerate(points) if point.kind == "step")
        return list(both(points[:starting]))

    def after_saves(self, count: int) -> Kill:
        """The first step after so many saves."""
        saved = [n for n, point in enumerate(self.points) if point == Point("fsync", "checkpoints") and n]
        last = [n for n in saved if self.points[n - 1] == Point("replace", "checkpoints/last")][count - 1]
        return next(kill for kill in self.kills() if kill.number > last and kill.point.kind == "step")

    def unseen(self) -> dict[str, int]:
        """By Python's own account of what a process does to its files: how many operations were no points."""
        assert self.audited["open"] > 10, self.audited
        points = Counter(EVENTS[point.kind] for point in self.points if point.kind in EVENTS)
        return {event: count - points[event] for event, count in self.audited.items() if count != points[event]}

    def power(self) -> tuple[int, str]:
        """What the loss of power could do to the reference: how many disks there may be, and what is wrong or ""."""
        return outages(self.operations, self.place / "reference", self.place / "outage")

    def crash_loop(self, seed: int) -> tuple[int, str]:
        """Kill at random, again and again. Returns how many processes died, and what is wrong or ""."""
        draw = random.Random(seed)
        config, attempts = self._settings(f"loop{seed}"), []
        while not attempts or attempts[-1].status == KILLED:
            kill_at = draw.randrange(*LIFE) if len(attempts) < LIVES else None
            attempts.append(attempt(config, kill_at=kill_at, torn=draw.random() < 0.3))
        return len(attempts) - 1, self._judged(config, attempts)

    def refuses(self, kills: list[Kill], damage: Callable[[Path], bool]) -> str:
        """After the damage the run must stop with a named error and exit 2, and change no checkpoint."""
        self.count += 1
        config = self._settings(f"{self.count}")
        for kill in kills:
            attempt(config, kill_at=kill.number, torn=kill.torn, defect=self.defect)
        damage(run_folder(config))
        before = checkpoints(run_folder(config))
        last = attempt(config, defect=self.defect)
        if last.status != 2 or "no usable checkpoint" not in last.errors:
            return f"ended with {last.status}: {last.errors}"
        return "" if checkpoints(run_folder(config)) == before else "the checkpoints were changed"

    def _settings(self, name: str) -> RunConfig:
        root = str(self.place / name)
        return replace(
            self.config,
            config=self.config.config | {"output_root": root},
            run=replace(self.config.run, output_root=root),
        )


def caught(planted: Planted, place: Path) -> str:
    """Which oracle notices the defect first, and when; "" if none does."""
    try:
        trial = Trial(planted.run, place, planted.plant)
    except AssertionError as error:
        return f"at once: {error}"
    if planted.judge == "power":
        return trial.power()[1]
    if planted.judge == "damage":
        two_saves = [trial.after_saves(2)]
        wrong = (trial.survives(two_saves, flip(share)) for share in (0.5, 0.7, 0.9))
        return next(filter(None, wrong), "") or trial.refuses(two_saves, spoil_all)
    for kill in likely_first(trial.kills()):
        if wrong := trial.survives([kill]):
            return f"{kill.kind} {kill.point.what}: {wrong}"
    return ""


def one_of_each(kills: list[Kill]) -> list[Kill]:
    """The last of every sort of point."""
    return list({(kill.kind, kill.point): kill for kill in kills}.values())


def likely_first(kills: list[Kill]) -> list[Kill]:
    """Sorted so that a defect is found early: the last of every sort of point before the last but one; of those the
    steps, then the torn writes, then the rest."""
    seen: Counter[tuple[str, Point]] = Counter()
    ranked = []
    for kill in reversed(kills):
        sort = kill.kind, kill.point
        ranked.append((seen[sort], kill.point.kind != "step", not kill.torn, len(ranked), kill))
        seen[sort] += 1
    return [kill for *_, kill in sorted(ranked, key=lambda each: each[:4])]


def both(points: tuple[Point, ...]) -> Iterator[Kill]:
    for number, point in enumerate(points):
        yield Kill(number, point)
        if point.kind == "write":
            yield Kill(number, point, torn=True)


def checkpoints(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "checkpoints").glob("*.pt")}


def newest(folder: Path) -> Path:
    return max((folder / "checkpoints").glob("last-*.pt"))


def flip(share: float) -> Callable[[Path], bool]:
    """Damage: one bit of the newest state, at this share of its length."""

    def damage(folder: Path) -> bool:
        path = newest(folder)
        data = bytearray(path.read_bytes())
        data[int(share * (len(data) - 1))] ^= 1
        path.write_bytes(data)
        return True

    return damage


def cut(share: float) -> Callable[[Path], bool]:
    """Damage: the newest state ends after this share of its length."""

    def damage(folder: Path) -> bool:
        path = newest(folder)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        return True

    return damage


def spoil_all(folder: Path) -> bool:
    """Damage: a bit of every state."""
    for path in (folder / "checkpoints").glob("last-*.pt"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    return True
