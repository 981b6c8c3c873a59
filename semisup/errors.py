"""Errors of users, each with a message of one line.

    SettingError        a setting: names key, value and what is allowed            exit 2
    DataError           the user's files: names the file or folder                 exit 2
    RecordError         a run directory: in use, finished, damaged or foreign      exit 2
    DivergedError       a loss or gradient that is not finite: names the step      exit 3
    InsufficientMemoryError  out of memory: names the batch size to try            exit 1
    CollapsedError      pseudo-labels of few classes, if collapse.stop_below is set exit 3

All but InsufficientMemoryError are ValueErrors, so that a notebook can catch one class. Violated internal invariants
are assertions.
"""

import difflib
import math
from collections.abc import Iterable, Mapping

from semisup.text import escape


class SettingError(ValueError):
    """An invalid setting. Callers add the group to `key` by `within` (`tau` -> `threshold.tau`)."""

    def __init__(self, key: str, value: object, allowed: str, nearest: str | None = None) -> None:
        super().__init__(key, value, allowed, nearest)
        self.key, self.value, self.allowed, self.nearest = key, value, allowed, nearest

    def __str__(self) -> str:
        hint = f" (did you mean {self.nearest}?)" if self.nearest else ""
        return f"{self.key}={escape(self.value)}: {self.allowed}{hint}"

    def within(self, group: str) -> "SettingError":
        """Return the same error with the key as a user types it."""
        nearest = f"{group}.{self.nearest}" if self.nearest and self.allowed.startswith("no such key") else self.nearest
        return SettingError(f"{group}.{self.key}", self.value, self.allowed, nearest)


class DataError(ValueError):
    """Images or folders do not match the settings.

    `report`: the content of data_report.json, if one line cannot list the files.
    """

    report: Mapping[str, object] | None = None


class RecordError(ValueError):
    """A run directory cannot be used as requested."""


class InUseError(RecordError):
    """Another process holds the run's lock.

    `stale_in_seconds`: after how long the lock counts as stale if its heartbeat does not change; None if the holder is
    known to be alive.
    """

    stale_in_seconds: float | None = None


class LockLostError(RecordError):
    """The directory of a run was deleted, moved or taken over by another process while this one wrote to it."""


class FinishedError(RecordError):
    """Another process has finished this run."""


class DivergedError(ValueError):
    """A loss or gradient of `step` is not finite."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"the loss or a gradient of step {self.step} is not finite; try a lower optimizer.lr"


class InsufficientMemoryError(RuntimeError):
    """The machine or the device ran out of memory; the message says what to try."""


class CollapsedError(ValueError):
    """The pseudo-labels collapsed to few classes and `collapse.stop_below` is set."""


def first_line(error: Exception) -> str:
    """Return the first line of the message of another library."""
    return str(error).strip().split("\n")[0]


def closest_match(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that is most similar to `word`, or None."""
    matches = difflib.get_close_matches(word, [each for each in allowed if each != word], n=1, cutoff=0.6)
    return matches[0] if matches else None


def check_range(
    key: str, value: float | None, low: float, high: float = math.inf, *, above: bool = False, below: bool = False
) -> None:
    """Raise SettingError unless `value` is finite and in [low, high]; None passes.

    Args:
        above: the value must be larger than `low`.
        below: the value must be smaller than `high`.
    """
    if value is None:
        return
    large, small = value > low if above else value >= low, value < high if below else value <= high
    if not (large and small and math.isfinite(value)):
        allowed = f"must be in {'(' if above else '['}{low:.10g}, {high:.10g}{')' if below else ']'}"
        if high == math.inf:
            allowed = f"must be {'above' if above else 'at least'} {low:.10g}"
        raise SettingError(key, value, allowed)


def check_choice(key: str, value: object, allowed: Iterable[str]) -> None:
    """Raise SettingError unless `value` is one of `allowed`."""
    names = sorted(allowed)
    if value not in names:
        raise SettingError(key, value, f"must be one of {', '.join(names)}", closest_match(str(value), names))
