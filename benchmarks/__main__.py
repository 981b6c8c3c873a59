"""`python -m bench`: measures, prints the table, writes outputs/bench/bench.json.

python -m bench                                   all of it (`make bench`)
python -m bench --quick                           smaller sizes (`make bench-quick`)
python -m bench --only step_over_bare --only sweep
python -m bench --write docs/internals/performance.md       and puts the table into the page
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import comparison, gpu, mapped, memory, peer, results, startup, steps, sweeps, tutorial_comparison
from benchmarks.clock import Measured, Plan
from benchmarks.goals import Entry, entries
from benchmarks.process import begin
from semisup.record.environment import environment

SECTIONS: tuple[Callable[[Plan], Iterator[tuple[str, Measured]]], ...] = (
    steps.measure,
    peer.measure,
    tutorial_comparison.measure,
    sweeps.measure,
    comparison.measure,
    startup.measure,
    memory.measure,
    mapped.measure,
    gpu.measure,
)


def main() -> int:
    parser = argparse.ArgumentParser(
        "python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds")
    parser.add_argument("--only", action="append", default=[], help="entries whose name begins like this")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    asked = parser.parse_args()
    plan = Plan(asked.quick, 5 if asked.quick else 7, tuple(asked.only))
    known = entries(os.cpu_count() or 1)
    wanted = [entry for entry in known if plan.wants(entry.name)]
    if not wanted:
        parser.error(f"no entry begins with {', '.join(asked.only)}")
    begin()
    began, found = time.perf_counter(), {}
    for section in SECTIONS:
        for name, measured in section(plan):
            if any(entry.name == name for entry in wanted):
                found[name] = measured
                print(f"{name} {results.number(measured.value)}", flush=True)
            assert any(entry.name == name for entry in known), f"{name} is not in goals.py"
    _tell(plan, wanted, found, time.perf_counter() - began, asked.write)
    return 0


def _tell(plan: Plan, wanted: list[Entry], found: dict[str, Measured], seconds: float, page: Path | None) -> None:
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
    return (gpu.why_not() if name.startswith("gpu.") else None) or "not asked for"


if __name__ == "__main__":
    raise SystemExit(main())
