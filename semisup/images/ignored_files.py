"""Decide which files are not read as images, and describe the ignored files."""

from collections.abc import Callable, Mapping

from semisup.images.formats import (
    HEIC_HINT,
    HEIC_SUFFIXES,
    SUFFIXES,
    TGA_FOOTER,
    TGA_SUFFIX,
    heif_version,
    is_heif,
    is_image_content,
)
from semisup.text import escape_name

OTHER_SUFFIX = "other suffix"
"""Reason for ignoring a file that is not an image, neither by its suffix nor by its content."""

OUTPUT_FOLDER = "output of semisup"
"""Reason for ignoring a folder or a plot that this program or W&B wrote."""


def reason_to_ignore(suffix: str, ends: Callable[[], tuple[bytes, bytes]]) -> str | None:
    """Return the reason why a regular file is not read as an image; None if it is read.

    Args:
        suffix: suffix of its name, in lower case and with the dot.
        ends: function that returns the first and the last bytes of the file.

    Returns:
        HEIC_HINT if the file is a HEIC image and the package to read it is not installed. The suffix, or "." if there
        is none, if the file is not an image.
    """
    if suffix in SUFFIXES:
        return HEIC_HINT if suffix in HEIC_SUFFIXES and heif_version() is None and is_heif(ends()[0]) else None
    head, tail = ends()
    if is_heif(head) and heif_version() is None:
        return HEIC_HINT
    if suffix == TGA_SUFFIX and tail == TGA_FOOTER:
        return None
    return None if is_image_content(head) else suffix or "."


def describe_ignored(counts: Mapping[str, int]) -> str:
    """Describe the files that are not read, such as "ignored 150 files: 120 .txt, 30 .csv"; "" if there are none.

    Args:
        counts: suffix or other reason -> number of files. Of the other reasons, only HEIC_HINT is described.
    """
    listed = {key: count for key, count in counts.items() if key.startswith(".") or key == HEIC_HINT}
    parts = sorted(listed.items(), key=lambda item: (-item[1], item[0]))
    names = [f"{count} {'without a suffix' if key == '.' else escape_name(key)}" for key, count in parts[:5]]
    more = [f"{sum(count for _, count in parts[5:])} others"] if len(parts) > 5 else []
    total = sum(listed.values())
    return f"ignored {total} {'file' if total == 1 else 'files'}: {', '.join(names + more)}" if listed else ""


def with_ignored(message: str, counts: Mapping[str, int]) -> str:
    """Append to `message` a description of the ignored files, if there are any.

    Args:
        counts: suffix or other reason -> number of files.
    """
    return "; ".join(filter(None, (message, describe_ignored(counts))))
