"""Report duplicate images: as plain data for data_report.json, and as a warning or an error."""

import warnings
from collections.abc import Sequence
from typing import Any

from semisup.errors import DataError
from semisup.images.duplicates import STOP, DuplicateImage, Duplicates


def to_report(duplicates: Duplicates, classes: Sequence[str]) -> dict[str, Any]:
    """Convert duplicates to plain data for data_report.json: number and groups of each kind."""
    return {"counts": duplicates.counts} | {
        kind: [[_member_report(member, classes) for member in group] for group in getattr(duplicates, kind)]
        for kind in duplicates.counts
    }


def _member_report(member: DuplicateImage, classes: Sequence[str]) -> dict[str, str | None]:
    name = classes[member.target] if member.target >= 0 else None
    return {"split": member.split, "path": member.name, "class": name}


def report_duplicates(duplicates: Duplicates, classes: tuple[str, ...], on_duplicate: str) -> None:
    """Warn about duplicate images that are in several splits or in two classes, or raise an error.

    Args:
        on_duplicate: the setting of this name: "error" or "warn".

    Raises:
        DataError: `on_duplicate` is "error", and there are equal images in several splits or in two classes.
    """
    messages, counts = [], duplicates.counts
    if duplicates.leaks:
        messages.append(
            f"{counts['leaks']} image(s) in several of training, validation and test ({_some(duplicates.leaks)})"
        )
    if duplicates.two_classes:
        messages.append(f"{counts['two_classes']} image(s) in two classes ({_some(duplicates.two_classes)})")
    if messages and on_duplicate == STOP:
        raise DataError(f"{'; '.join(messages)}: keep one of each, or continue with dataset.on_duplicate=warn")
    if duplicates.near:
        kinds = "in different splits or classes"
        messages.append(f"{counts['near']} pair(s) of near duplicates {kinds} ({_some(duplicates.near)})")
    if messages:
        warnings.warn(f"{'; '.join(messages)}: see data_report.json", stacklevel=4)


def _some(groups: Sequence[Sequence[DuplicateImage]]) -> str:
    """Format the first three groups, such as `training/a/1.jpg = testing/a/9.jpg; ...`."""
    first = [" = ".join(member.name for member in group[:3]) for group in groups[:3]]
    return "; ".join(first) + ("; ..." if len(groups) > 3 else "")
