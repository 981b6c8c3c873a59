"""Write the benchmark results: the table, bench.json, and a part of docs/internals/performance.md."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.clock import Measured
from benchmarks.goals import Entry
from semisup.runtime.atomic_files import write_atomically

COLUMNS = ("entry", "value", "of CPU time", "spread", "goal", "met", "what")
MARKED = re.compile(r"(<!-- bench -->\n).*?(<!-- end -->)", re.DOTALL)


def row(entry: Entry, found: Measured | None, why_not: str) -> tuple[str, ...]:
    if found is None:
        return entry.name, "-", "", "", entry.goal, "-", f"{entry.about}; not run: {why_not}"
    met = {True: "yes", False: "no", None: ""}[entry.met(found.value)]
    value = f"{number(found.value)}{entry.unit and ' '}{entry.unit}"
    spread = f"{number(found.spread[0])} to {number(found.spread[1])}" if found.rounds > 1 else ""
    cpu = "" if found.cpu is None else number(found.cpu)
    return entry.name, value, cpu, spread, entry.goal, met, f"{entry.about} ({found.rounds} rounds)"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 10 else f"{value:.3f}"


def as_json(entry: Entry, found: Measured | None, why_not: str) -> dict[str, Any]:
    about: dict[str, Any] = {"about": entry.about, "goal": entry.goal, "unit": entry.unit or "ratio"}
    if found is None:
        return about | {"value": None, "skipped": why_not}
    values = {name: getattr(found, name) for name in ("value", "cpu", "spread", "rounds", "seconds")}
    return about | values | {"met": entry.met(found.value)}


def write_json(path: Path, about: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps({**about, "entries": found}, indent=2) + "\n").encode())


def as_text(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(each[column]) for each in (COLUMNS, *rows)) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(map(str.ljust, each, widths)).rstrip() for each in (COLUMNS, *rows))


def write_page(page: Path, about: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write the table of results into a page, between the marks `<!-- bench -->` and `<!-- end -->`.

    Args:
        about: text above the table.
        names: names of all entries, in order.
        rows: new rows of the table. An entry without a new row keeps the row that it has in the page, if any.
    """
    before = page.read_text()
    marked = MARKED.search(before)
    assert marked, f"{page} has no <!-- bench --> ... <!-- end -->"
    kept = {line.split("|")[1].strip(): line for line in marked[0].splitlines() if line.startswith("| ")}
    new = {each[0]: "| " + " | ".join(each) + " |" for each in (COLUMNS, *rows)}
    table = [new[COLUMNS[0]], "|" + " --- |" * len(COLUMNS), *(new.get(each, kept.get(each, "")) for each in names)]
    body = "\n".join([about, "", *filter(None, table)]) + "\n"
    after = MARKED.sub(lambda found: found[1] + body + found[2], before)
    write_atomically(page, after.encode())
