"""Write the reliability page from the tests: docs/internals/reliability.md or outputs/reliability.md.

The tables of faults are those of `tests/faults.py`. Injected and survived are the cases of the tests that ran and of
those that passed (`tests/conftest.py` counts), or what a test reports by `record_property("faults", (9, 9))`. A test
with more results calls `report`. Sections are sorted by name; a section that no test writes, such as the comparison
with other programs, is kept. The text of a section depends on the code alone, so a second test run changes nothing.

`make reliability` (SEMISUP_WRITE_RELIABILITY=1) updates the page in docs/. Other test runs leave the checkout unchanged
and write their copy to outputs/. Nothing is written where neither folder exists, as in an installed package.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from semisup.runtime.atomic_files import write_atomically
from tests.faults import FAULTS, SECTIONS, Fault

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "docs" / "internals" / "reliability.md"
PAGE = COMMITTED if os.environ.get("SEMISUP_WRITE_RELIABILITY") == "1" else ROOT / "outputs" / "reliability.md"
HEAD = """\
# Reliability

Every figure comes from the tests of this version: `make reliability` writes them here (`tests/reliability.py`). Only
the last section is written by hand.
"""
SECTION = re.compile(r"<!-- (?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- end -->\n", re.DOTALL)
COLUMNS = ("fault", "what happens", "what then holds", "injected", "survived", "test")
COUNTED = re.compile(r"^\| (?P<key>[^|]*\|[^|]*)\|[^|]*\| (?P<injected>\d+) \| (?P<survived>\d+) \|", re.MULTILINE)

Counts = Mapping[str, tuple[int, int]]
"""Key of a fault -> injected, survived."""


def report(name: str, title: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write one section, replacing what it said before.

    Args:
        name: letters, digits and -; sections are sorted by it: `d-fuzz` stands after the faults of section D.
        title: its heading.
        text: what the figures mean, before the table.
        columns: the table's head.
        rows: one value for each column.
    """
    heading = "###" if re.match("[a-j]-", name) else "##"  # of a section of faults
    body = _section(f"{heading} {title}", text, columns, rows)
    _rewrite(lambda page: _with(page, {name: body}))


def count(counts: Counts) -> None:
    """Write what was injected and survived into the tables of faults; of others the page keeps what it says."""

    def rewritten(page: str) -> str:
        known = dict(_counted(page)) | dict(counts)
        return _with(page, _tables(known))

    _rewrite(rewritten)


def _tables(counts: Counts) -> dict[str, str]:
    """The sections of all faults, and that of their sums."""
    bodies, sums = {}, []
    for letter, (title, text) in SECTIONS.items():
        faults = [fault for fault in FAULTS if fault.section == letter]
        bodies[letter.lower()] = _section(
            f"## {letter}. {title}", text, COLUMNS, [_row(each, counts) for each in faults]
        )
        found = [counts[each.key] for each in faults if each.key in counts]
        without = sum(not each.tests for each in faults)
        sums.append([letter, title, len(faults) - without, sum(n for n, _ in found), sum(n for _, n in found), without])
    columns = ("", "section", "faults with a test", "injected", "survived", "without one, and why")
    text = "Each fault is made to happen, and what must then hold is checked. Survived = it held."
    bodies["0"] = _section("## In short", text, columns, sums)
    return bodies


def _row(fault: Fault, counts: Counts) -> Sequence[object]:
    injected, survived = counts.get(fault.key, ("", ""))
    where = "; ".join(f"`{test.partition('.py::')[0]}` {test.partition('::')[2]}" for test in fault.tests)
    return fault.codes, fault.what, fault.then, injected, survived, where or "-"


def _counted(page: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """What the page says of the faults."""
    keys = {f"{each.codes} | {each.what} ": each.key for each in FAULTS}
    for found in COUNTED.finditer(page):
        if key := keys.get(found["key"]):
            yield key, (int(found["injected"]), int(found["survived"]))


def _section(heading: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heading, "", text.strip(), ""]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in (columns, ["---"] * len(columns), *rows)]
    return "\n".join(lines) + "\n"


def _with(page: str, bodies: Mapping[str, str]) -> str:
    sections = {found["name"]: found["body"] for found in SECTION.finditer(page)} | dict(bodies)
    return "\n".join([HEAD, *(f"<!-- {each} -->\n{sections[each]}<!-- end -->\n" for each in sorted(sections))])


def _rewrite(how: Callable[[str], str]) -> None:
    if not os.access(PAGE.parent, os.W_OK):
        return
    with _alone():
        source = PAGE if PAGE.exists() else COMMITTED
        before = source.read_text() if source.exists() else ""
        if (page := how(before)) != before:
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
