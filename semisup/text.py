"""Show and store text that others chose: names of files, classes and runs, values of settings, messages of libraries.

    listed         parts as a phrase: "a, b or c"
    escape         for messages and tables: at most 120 characters on one line
    printable      the same, of any length
    escape_name    for names that must stay different: the backslash is escaped, too
    escape_line    for files that are read again: only what is not Unicode is escaped
    shell_quote    for commands to copy

Letters of every script are shown as they are. Control characters, direction marks and bytes that are not UTF-8 are
shown as escapes, so that no text can control a terminal or pass for another one.
"""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

MAX_LENGTH = 120


def listed(parts: Iterable[str], word: str = "or") -> str:
    """Join parts to a phrase: "a, b or c"."""
    *first, last = parts
    return f"{', '.join(first)} {word} {last}" if first else last


def escape(value: object) -> str:
    """Return `value` as YAML users write it, on one line of at most 120 characters."""
    return printable(value, MAX_LENGTH)


def printable(value: object, max_length: int = 300) -> str:
    """Return `value` as YAML users write it, on one line of at most `max_length` characters."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = _escape_unprintable(text[: max_length + 1])
    return text if len(text) <= max_length else text[: max_length - 3] + "..."


def escape_name(text: str) -> str:
    """Escape what is not printable, and the backslash: different names stay different."""
    return _escape_unprintable(text, "\\")


def escape_line(text: str) -> str:
    """Escape what is not Unicode with backslashes: file names on Linux are arbitrary bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _escape_unprintable(text: str, also: str = "") -> str:
    if text.isprintable() and not (also and also in text):
        return text
    return "".join(
        letter
        if letter.isprintable() and letter != also
        else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text
    )


def shell_quote(path: Path) -> str:
    """Quote a path for bash; unprintable characters become `$'\\x..'`, which means the same."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    letters = (
        letter
        if letter.isprintable() and letter not in "'\\"
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
        for letter in text
    )
    return f"$'{''.join(letters)}'"


def relative_url(folder: Path, page: Path) -> str:
    """The relative URL of a directory from a page in the directory `page`; has no scheme, whatever the name."""
    relative = os.path.relpath(os.path.realpath(folder), os.path.realpath(page))
    return "./" + quote(os.fsencode(relative)) + "/"


def run_url(folder: Path, page: Path) -> str:
    """The relative URL of a run's report, or of its directory if it has none, from a page in the directory `page`."""
    return relative_url(folder, page) + ("report.html" if (folder / "report.html").is_file() else "")
