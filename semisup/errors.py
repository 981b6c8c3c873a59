"""Errors that users can cause or correct, each with a message of one line.

    SettingError              a setting is not valid: names key, value and what is allowed     exit 2
    DataError                 the user's files are not valid: names the file or folder         exit 2
    MissingPackageError       an optional package is not installed: names what to install      exit 2
    RecordError               a run directory is in use, finished, damaged, or not of a run    exit 2
    DivergedError             a loss or gradient is not finite: names the step                 exit 3
    InsufficientMemoryError   out of memory: names the batch size to try                       exit 1
    CollapsedError            pseudo-labels of few classes, if collapse.stop_below is set      exit 3

    StoppedAtRungError        no fault: halving has stopped the run; it can be continued       exit 0

All except InsufficientMemoryError and StoppedAtRungError are ValueErrors, so that a notebook can catch one class.
Errors in the program itself are AssertionErrors.
"""

import difflib
import math
from collections.abc import Iterable, Mapping

from semisup.text import escape


class SettingError(ValueError):
    """A setting has an invalid value, or a key does not exist."""

    def __init__(self, key: str, value: object, allowed: str, nearest: str | None = None) -> None:
        super().__init__(key, value, allowed, nearest)
        self.key, self.value, self.allowed, self.nearest = key, value, allowed, nearest

    def __str__(self) -> str:
        hint = f" (did you mean {self.nearest}?)" if self.nearest else ""
        return f"{self.key}={escape(self.value)}: {self.allowed}{hint}"

    def within(self, group: str) -> "SettingError":
        """Return this error with its key prefixed by a config group: `tau` -> `threshold.tau`."""
        nearest = f"{group}.{self.nearest}" if self.nearest and self.allowed.startswith("no such key") else self.nearest
        return SettingError(f"{group}.{self.key}", self.value, self.allowed, nearest)


class NoUnlabeledError(SettingError):
    """The method needs unlabeled images, and the data set has none.

    ignored: text about files of the data set that were not read; "" if there are none
    """

    ignored = ""


class DataError(ValueError):
    """The images or folders of a data set are missing, damaged, or do not match the settings.

    report: the content of data_report.json; None if the message names all files
    """

    report: Mapping[str, object] | None = None


class MissingPackageError(ImportError, ValueError):
    """An optional package is not installed; the message says what to type to install it."""


class RecordError(ValueError):
    """A run directory is damaged, in use, or not suitable for the command."""


class InUseError(RecordError):
    """Another process holds the run's lock.

    stale_in_seconds: time until the lock expires if the other process does not update it; None if this process is known
        to be alive
    """

    stale_in_seconds: float | None = None


class LockLostError(RecordError):
    """The run directory was deleted, moved or taken over by another process during the run."""


class FinishedError(RecordError):
    """The run was finished by another process while this process waited for it."""


class DivergedError(ValueError):
    """The loss or the gradient of a training step is not finite (NaN or infinite)."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"the loss or a gradient of step {self.step} is not finite; try a lower optimizer.lr"


class InsufficientMemoryError(RuntimeError):
    """The machine or the device ran out of memory; the message names the settings to change."""


class CollapsedError(ValueError):
    """Nearly all selected pseudo-labels belong to a few classes, and `collapse.stop_below` is set."""


class StoppedAtRungError(Exception):
    """Successive halving has stopped the run at a rung (a step at which runs are compared) and saved its state."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"stopped by halving at step {self.step}"


def first_line(error: Exception) -> str:
    """Return the first line of the message of an error."""
    return str(error).strip().split("\n")[0]


def closest_match(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that is most similar to `word`, ignoring case; None if no name is similar."""
    by_folded = {each.casefold(): each for each in allowed if each != word}
    matches = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def check_range(
    key: str, value: float | None, low: float, high: float = math.inf, *, above: bool = False, below: bool = False
) -> None:
    """Raise SettingError unless `value` is finite and in [low, high]; None is allowed.

    Args:
        key: name of the setting, for the message.
        above: if true, `low` itself is not allowed.
        below: if true, `high` itself is not allowed.
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
