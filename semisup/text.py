"""Format text for messages, and escape text from outside the program, so that it is safe to print and to store.

Text from outside is, for example, names of files, classes and runs, values of settings, and messages of libraries.

    listed         joins parts to a phrase: "a, b or c"
    counted        number and noun: "1 run", "2 runs"
    escape         for messages and tables: at most 120 characters on one line
    printable      for messages and tables: one line with a maximum length that the caller chooses
    escape_name    for names: different names remain different, because the backslash is escaped, too
    escape_line    for files that are read again: only what is not Unicode is escaped
    shell_quote    for commands that the user copies

Letters of every script are unchanged. Control characters, direction marks and bytes that are not UTF-8 are escaped,
because they can control a terminal or make one text look like another.
"""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

MAX_LENGTH = 120


def listed(parts: Iterable[str], word: str = "or") -> str:
    """Join parts to a phrase such as "a, b or c"; `word` is the word before the last part."""
    *first, last = parts
    return f"{', '.join(first)} {word} {last}" if first else last


def counted(number: int, noun: str) -> str:
    """Write a number and its noun, such as "1 run" or "2 runs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def escape(value: object) -> str:
    """Format a value as in YAML, with control characters escaped, on one line of at most 120 characters."""
    return printable(value, MAX_LENGTH)


def printable(value: object, max_length: int = 300) -> str:
    """Format a value as in YAML, with control characters escaped, on one line of at most `max_length` characters."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = _escape_unprintable(text[: max_length + 1])
    return text if len(text) <= max_length else text[: max_length - 3] + "..."


def escape_name(text: str) -> str:
    """Escape unprintable characters and backslashes in a name; different names remain different."""
    return _escape_unprintable(text, "\\")


def escape_line(text: str) -> str:
    """Escape the bytes of a text that are not valid Unicode, such as those in some file names on Linux."""
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
    """Quote a path so that it can be copied into bash; unprintable characters become `$'\\x..'`."""
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
    """Return the relative URL by which an HTML page in the directory `page` links to the directory `folder`.

    The URL begins with `./`, so that no name of a directory is read as a scheme such as `http:`.
    """
    relative = os.path.relpath(os.path.realpath(folder), os.path.realpath(page))
    return "./" + quote(os.fsencode(relative)) + "/"


def run_url(folder: Path, page: Path) -> str:
    """Return the relative URL by which an HTML page in the directory `page` links to a run's report.

    If the run has no report, the URL of its directory is returned.
    """
    return relative_url(folder, page) + ("report.html" if (folder / "report.html").is_file() else "")
