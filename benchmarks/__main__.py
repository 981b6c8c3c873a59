"""`python -m benchmarks`: run the benchmarks, print the table and write outputs/bench/bench.json.

python -m benchmarks                                   run all entries (`make bench`)
python -m benchmarks --quick                           use smaller sizes (`make bench-quick`)
python -m benchmarks --only step_over_bare --only sweep          run the entries whose names start with these words
python -m benchmarks --write docs/internals/performance.md       also write the table to this page
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import (
    comparison,
    encoder,
    gpu,
    mapped,
    memory,
    peer,
    results,
    startup,
    steps,
    sweeps,
    tutorial_comparison,
)
from benchmarks.clock import Measured, Plan
from benchmarks.goals import Entry, entries
from benchmarks.process import begin
from semisup.record.environment import environment

SECTIONS: tuple[Callable[[Plan], Iterator[tuple[str, Measured]]], ...] = (
    steps.measure,
    peer.measure,
    tutorial_comparison.measure,
    sweeps.measure,
    encoder.measure,
    comparison.measure,
    startup.measure,
    memory.measure,
    mapped.measure,
    gpu.measure,
)


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds")
    parser.add_argument("--only", action="append", default=[], help="only entries whose name starts with this")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the table to this page")
    arguments = parser.parse_args()
    plan = Plan(arguments.quick, 5 if arguments.quick else 7, tuple(arguments.only))
    known = entries(os.cpu_count() or 1)
    wanted = [entry for entry in known if plan.wants(entry.name)]
    if not wanted:
        parser.error(f"no entry starts with {', '.join(arguments.only)}")
    begin()
    began, found = time.perf_counter(), {}
    for section in SECTIONS:
        for name, measured in section(plan):
            if any(entry.name == name for entry in wanted):
                found[name] = measured
                print(f"{name} {results.number(measured.value)}", flush=True)
            assert any(entry.name == name for entry in known), f"{name} is not in goals.py"
    _report(plan, wanted, found, time.perf_counter() - began, arguments.write)
    return 0


def _report(plan: Plan, wanted: list[Entry], found: dict[str, Measured], seconds: float, page: Path | None) -> None:
    reasons = {entry.name: _why_not(entry.name) for entry in wanted}
    rows = [results.row(entry, found.get(entry.name), reasons[entry.name]) for entry in wanted]
    machine, cores = environment("cpu" if gpu.why_not() else "cuda"), os.cpu_count()
    about: dict[str, Any] = {
        "machine": f"{machine['processor']} ({machine['instruction_set']}), {cores} cores",
        "device": machine["device"],
        "threads": 1,
        "torch": machine["packages"]["torch"],
        "commit": machine["git"],
        "quick": plan.quick,
        "seconds": seconds,
    }
    path = Path("outputs/bench/bench.json")
    each = {entry.name: results.as_json(entry, found.get(entry.name), reasons[entry.name]) for entry in wanted}
    results.write_json(path, about, each)
    sizes = "; sizes of --quick, goals of the full ones" if plan.quick else ""
    said = f"{about['machine']}, one thread, torch {about['torch']}; {seconds:.0f} s in all{sizes}"
    print(f"\n{said}\n\n{results.as_text(rows)}\n\nwrote {path}")
    if page is not None:
        names = [entry.name for entry in entries(cores or 1)]
        kept = f"; that is of {', '.join(plan.only)} alone, other rows are of earlier runs" if plan.only else ""
        results.write_page(page, f"{said}{kept}.", names, rows)
        print(f"wrote {page}")


def _why_not(name: str) -> str:
    return (gpu.why_not() if name.startswith("gpu.") else None) or "not selected"


if __name__ == "__main__":
    raise SystemExit(main())
