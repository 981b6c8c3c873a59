"""Names that users gave, so that nothing in them can act: on a shell, on a terminal, on a reader's eye."""

import os
import shlex
from pathlib import Path
from urllib.parse import quote


def shell_quote(path: Path) -> str:
    """As it can be typed in bash; what a terminal would obey is written as an escape, which means the same."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    each = (
        letter
        if letter.isprintable() and letter not in "'\\"
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
        for letter in text
    )
    return f"$'{''.join(each)}'"


def printable(value: object, most: int = 300) -> str:
    """As YAML users write it, letters of every script as they are; marks that turn or hide text as escapes."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text[: most + 1]
    )
    return text if len(text) <= most else text[: most - 3] + "..."


def relative_url(folder: Path, page: Path) -> str:
    """Where a folder is from the folder `page`, as an address: no scheme, whatever it is called."""
    relative = os.path.relpath(os.path.realpath(folder), os.path.realpath(page))
    return "./" + quote(os.fsencode(relative)) + "/"


def run_url(folder: Path, page: Path) -> str:
    """Where a run's own report is, from the folder `page`; its folder where it has none."""
    return relative_url(folder, page) + ("report.html" if (folder / "report.html").is_file() else "")
