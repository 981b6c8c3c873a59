"""docs/reliability.md, written by the test run: a test that has figures to show calls `report`.

Sections stand in the order of their names. What a section says depends on nothing but the code, so that a second run
of the tests changes nothing; where there is no docs/ that can be written, as in an installed package, nothing is.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from semisup.disk import write_atomically

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"
HEAD = """\
# Reliability

Written by `make test`: every figure comes from the tests of this version. Do not edit; `tests/reliability.py`.
"""
SECTION = re.compile(r"<!-- (?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- end -->\n", re.DOTALL)


def report(name: str, title: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write one section, replacing what it said before.

    Args:
        name: letters, digits and -; sections are sorted by it.
        title: its heading.
        text: what the figures mean, before the table.
        columns: the table's head.
        rows: one value for each column.
    """
    lines = [f"## {title}", "", text.strip(), ""]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in (columns, ["---"] * len(columns), *rows)]
    body = "\n".join(lines) + "\n"
    if not os.access(PAGE.parent, os.W_OK):
        return
    with _alone():
        before = PAGE.read_text() if PAGE.exists() else ""
        sections = {found["name"]: found["body"] for found in SECTION.finditer(before)} | {name: body}
        page = "\n".join([HEAD, *(f"<!-- {each} -->\n{sections[each]}<!-- end -->\n" for each in sorted(sections))])
        if page != before:
            write_atomically(PAGE, page.encode())


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Tests run in several processes; in here is one of them."""
    folder = os.open(PAGE.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
