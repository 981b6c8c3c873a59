"""Write the reliability page from the results of the tests: docs/internals/reliability.md or outputs/reliability.md.

The tables list the faults of `tests/faults.py`. Injected and survived count the test cases that ran and those that
passed (`tests/conftest.py`), or the numbers that a test records with `record_property("faults", (9, 9))`. A test with
more results calls `report`. Sections are sorted by name; a section that no test writes, such as the comparison with
other programs, is kept. The text of a section depends only on the code, so a second test run changes nothing.

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

This page lists the faults that the tests cause, such as a killed process or a full disk, and what the program must do
in each case. `make reliability` runs the tests and writes all sections except the last one (`tests/reliability.py`).
`tests/faults.py` names the tests of each fault. If a fault has no test ("-"), the column of the required behavior
contains the reason.
"""
SECTION = re.compile(r"<!-- (?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- end -->\n", re.DOTALL)
COLUMNS = ("fault", "description", "required behavior", "injected", "survived")
COUNTED = re.compile(r"^\| (?P<key>[^|]*\|[^|]*)\|[^|]*\| (?P<injected>\d+) \| (?P<survived>\d+) \|", re.MULTILINE)

Counts = Mapping[str, tuple[int, int]]
"""Key of a fault -> injected, survived."""


def report(name: str, title: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write one section of the page, or replace it.

    Args:
        name: letters, digits and -; sections are sorted by it: `d-fuzz` stands after the faults of section D.
        title: heading of the section.
        text: explanation of the figures, before the table.
        columns: headings of the table.
        rows: one value for each column.
    """
    heading = "###" if re.match("[a-k]-", name) else "##"  # of a section of faults
    body = _section(f"{heading} {title}", text, columns, rows)
    _rewrite(lambda page: _with(page, {name: body}))


def count(counts: Counts) -> None:
    """Write the counts of the faults into the tables; other faults keep the counts that the page holds."""

    def update(page: str) -> str:
        return _with(page, _tables(dict(_read_counts(page)) | dict(counts)))

    _rewrite(update)


def _tables(counts: Counts) -> dict[str, str]:
    """Format the sections of all faults, and the section of their sums."""
    bodies, sums = {}, []
    for letter, (title, text) in SECTIONS.items():
        faults = [fault for fault in FAULTS if fault.section == letter]
        bodies[letter.lower()] = _section(
            f"## {letter}. {title}", text, COLUMNS, [_row(each, counts) for each in faults]
        )
        counted = [counts[each.key] for each in faults if each.key in counts]
        without = sum(not each.tests for each in faults)
        sums.append(
            [letter, title, len(faults) - without, sum(n for n, _ in counted), sum(n for _, n in counted), without]
        )
    columns = ("", "section", "faults with a test", "injected", "survived", "faults without a test")
    text = (
        'The column "injected" counts how often the tests caused a fault, and "survived" how often the program then '
        "behaved as required."
    )
    bodies["0"] = _section("## Summary", text, columns, sums)
    return bodies


def _row(fault: Fault, counts: Counts) -> Sequence[object]:
    injected, survived = counts.get(fault.key, ("", "") if fault.tests else ("-", "-"))
    return fault.codes, fault.what, fault.then, injected, survived


def _read_counts(page: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Read the counts of each fault from the page."""
    keys = {f"{each.codes} | {each.what} ": each.key for each in FAULTS}
    for match in COUNTED.finditer(page):
        if key := keys.get(match["key"]):
            yield key, (int(match["injected"]), int(match["survived"]))


def _section(heading: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heading, "", text.strip(), ""]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in (columns, ["---"] * len(columns), *rows)]
    return "\n".join(lines) + "\n"


def _with(page: str, bodies: Mapping[str, str]) -> str:
    sections = {match["name"]: match["body"] for match in SECTION.finditer(page)} | dict(bodies)
    return "\n".join([HEAD, *(f"<!-- {each} -->\n{sections[each]}<!-- end -->\n" for each in sorted(sections))])


def _rewrite(edit: Callable[[str], str]) -> None:
    if not os.access(PAGE.parent, os.W_OK):
        return
    with _lock():
        source = PAGE if PAGE.exists() else COMMITTED
        before = source.read_text() if source.exists() else ""
        if (page := edit(before)) != before:
            write_atomically(PAGE, page.encode())


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """Admit one of the several processes of the tests at a time."""
    folder = os.open(PAGE.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
