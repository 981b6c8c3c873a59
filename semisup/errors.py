"""What a user did, said in one line.

    SettingError        a setting: names key, value and what is allowed            exit 2
    DataError           the user's files: names the file or folder                 exit 2
    RecordError         a run's folder: in use, finished, or not what it says      exit 2
    DivergedError       a loss or gradient that is not finite: names the step      exit 3
    ShortOfMemoryError  memory ran out: names the batch size to try                exit 1
    CollapsedError      pseudo-labels of hardly more than one class, if asked for  exit 3

All but the one of memory are ValueError, so that a notebook can catch one thing. Broken invariants of our own are
assertions and never reach this file.
"""

import difflib
import math
from collections.abc import Iterable, Mapping


class SettingError(ValueError):
    """A setting that cannot be. `key` gains its group on the way up (`tau` -> `threshold.tau`)."""

    def __init__(self, key: str, value: object, allowed: str, nearest: str | None = None) -> None:
        super().__init__(key, value, allowed, nearest)
        self.key, self.value, self.allowed, self.nearest = key, value, allowed, nearest

    def __str__(self) -> str:
        hint = f" (did you mean {self.nearest}?)" if self.nearest else ""
        return f"{self.key}={escape(self.value)}: {self.allowed}{hint}"

    def within(self, group: str) -> "SettingError":
        """The same error with the key as a user types it."""
        nearest = f"{group}.{self.nearest}" if self.nearest and self.allowed.startswith("no such key") else self.nearest
        return SettingError(f"{group}.{self.key}", self.value, self.allowed, nearest)


class DataError(ValueError):
    """The user's images or folders are not what the settings say.

    `report`: which ones, where they are too many for one line: what data_report.json says of them.
    """

    report: Mapping[str, object] | None = None


class RecordError(ValueError):
    """A run's folder cannot be used as asked."""


class InUseError(RecordError):
    """Another process holds the run's lock.

    `stale_in_seconds`: after how long the lock counts as stale if its heartbeat does not change; None if the holder is
    known to be alive.
    """

    stale_in_seconds: float | None = None


class LockLostError(RecordError):
    """The directory of a run was deleted, moved or taken over by another process while this one wrote to it."""


class FinishedError(RecordError):
    """Another process finished this run in the meantime."""


class DivergedError(ValueError):
    """Training left the finite numbers at `step`."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"the loss or a gradient of step {self.step} is not finite; a lower optimizer.lr is the usual cure"


class InsufficientMemoryError(RuntimeError):
    """The machine or the device has not the memory that the run asked for; says what to try."""


class CollapsedError(ValueError):
    """The pseudo-labels ran together into few classes, and `collapse.stop_below` says to stop."""


def escape(value: object) -> str:
    """`value` as YAML users write it, with control characters escaped and the length bounded."""
    text = {None: "null", True: "true", False: "false"}.get(value) if value is None or isinstance(value, bool) else None
    text = text or str(value).encode("unicode_escape", "backslashreplace").decode()
    return text if len(text) <= 120 else text[:117] + "..."


def first_line(error: Exception) -> str:
    """What another library says, without its list of causes."""
    return str(error).strip().split("\n")[0]


def closest_match(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that looks most like `word`, if one does."""
    found = difflib.get_close_matches(word, [each for each in allowed if each != word], n=1, cutoff=0.6)
    return found[0] if found else None


def check_range(key: str, value: float | None, low: float, high: float = math.inf, *, above: bool = False) -> None:
    """Raise SettingError unless low <= value <= high (low < value with `above`); None passes."""
    if value is None:
        return
    ok = (value > low if above else value >= low) and value <= high and math.isfinite(value)
    if not ok:
        start = "above" if above else "at least"
        allowed = (
            f"must be {start} {low:.10g}"
            if high == math.inf
            else f"must be in {'(' if above else '['}{low:.10g}, {high:.10g}]"
        )
        raise SettingError(key, value, allowed)


def check_choice(key: str, value: str, allowed: Iterable[str]) -> None:
    """Raise SettingError unless `value` is one of `allowed`."""
    names = sorted(allowed)
    if value not in names:
        raise SettingError(key, value, f"must be one of {', '.join(names)}", closest_match(value, names))
