"""Compare the stored features of a run with those with which it began, or with those of the run that it reproduces."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semisup.errors import DataError
from semisup.runner.encoding import AUGMENT, PLAIN, WEAK


def feature_difference(before: object, now: Mapping[str, Any] | None) -> str | None:
    """Describe the first difference between a run's recorded features and the present ones; None if they are equal.

    Args:
        before: description of the features in the run's run.json; None = none recorded.
        now: description of the present features (`EncodedRun.metadata`).
    """
    sides = [each if isinstance(each, Mapping) else {} for each in (before, now)]
    digests = [[_weights_digests(each.get("weights")) for each in sides]]
    digests += [[_entry(_entry(each, "packs", name), "digest") for each in sides] for name in (PLAIN, AUGMENT, WEAK)]
    names = (
        "sha256 of the encoder's weights",
        *(f"digest of the features ({name})" for name in (PLAIN, AUGMENT, WEAK)),
    )
    for name, (then, today) in zip(names, digests, strict=True):
        if then != today:
            return f"{name}: {then} then, {today} now"
    return None


def _weights_digests(weights: object) -> object:
    """Return the sha256 of a description of weights in run.json; for several networks, the list of digests."""
    if isinstance(weights, list):
        return [_entry(each, "sha256") for each in weights]
    return _entry(weights, "sha256")


def _entry(value: object, *keys: str) -> object:
    """Return the value at a path of keys in nested dictionaries; None if there is no such value."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def check_same_features(before: object, now: Mapping[str, Any] | None, folder: Path) -> None:
    """Raise DataError if an interrupted run would continue with other features than those with which it began.

    Args:
        before: description of the features in the run's run.json; None = none recorded.
        now: description of the present features (`EncodedRun.metadata`).
        folder: run directory, for the message.
    """
    if isinstance(before, Mapping) and (difference := feature_difference(before, now)):
        allowed = (
            f"the run began with other features ({difference}); use the machine on which it began, use "
            "another name=NAME, or delete the run"
        )
        raise DataError(f"{folder}: {allowed}")
