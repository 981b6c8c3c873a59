"""Compare the metrics of two run directories exactly."""

import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from semisup.analysis.runs import as_number
from semisup.record.reader import read_json, read_metrics
from semisup.text import printable


@dataclass(frozen=True)
class Difference:
    """Result of comparing the metrics of two runs.

    values: number of compared values
    first: description of the first value that differs; "" if all values are equal
    largest: largest difference; infinite if a value is missing or not a number
    """

    values: int
    first: str
    largest: float


def compare_metrics(one: Path, other: Path) -> Difference:
    """Compare the exact values in metrics.jsonl and summary.json of two runs, except for wall-clock times.

    Keys that the run `one` does not have are not compared, so this run may be unfinished or of an earlier version.

    Raises:
        RecordError: a file cannot be read.
    """
    logs = {run: run / "metrics.jsonl" for run in (one, other)}
    counts, finished = [sum(1 for _ in read_metrics(log)) for log in logs.values()], bool(_summary(one))
    values, first, largest = 0, "", 0.0
    if counts[0] > counts[1] or (finished and counts[0] != counts[1]):
        first, largest = f"{counts[0]} rows of metrics then, {counts[1]} now", math.inf
    compared = {key for row in read_metrics(logs[one]) for key in row} | set(_summary(one))
    pairs = zip(*map(read_metrics, logs.values()), strict=False)
    for row, again in chain(pairs, [(_summary(one), _summary(other))] if finished else []):
        for key in {**row, **again}:
            if key.endswith("_seconds") or key not in compared:
                continue
            values += 1
            old, new = row.get(key), again.get(key)
            if old != new:
                where = f"step {row['step']}, " if "step" in row else "summary, "
                first = first or f"{where}{printable(key)}: {printable(repr(old))} then, {printable(repr(new))} now"
                largest = max(largest, _distance(old, new))
    return Difference(values, first, largest)


def _summary(run: Path) -> dict[str, Any]:
    return read_json(run / "summary.json") or {}


def _distance(old: Any, new: Any) -> float:
    before, after = as_number(old), as_number(new)
    return math.inf if before is None or after is None else abs(before - after)
