"""Check the order of the rows in metrics.jsonl: two processes that wrote one record leave repeated or unordered steps.

A run appends rows with nondecreasing steps, and at most one evaluation and one labeling per step.
"""

import re
from pathlib import Path

from semisup.record.reader import MAX_LINE_BYTES, open_regular_file

STEP = re.compile(rb'"step"\s*:\s*(\d{1,15})\b')
KINDS = (b'"val/accuracy"', b'"pseudo/round"')


def step_order_error(path: Path) -> str:
    """Return what is wrong with the steps of metrics.jsonl, with the line; "" where nothing is.

    Lines without a step are skipped: whether a line is a valid row is checked where it is used.
    """
    last, kinds = -1, set[bytes]()
    try:
        with open_regular_file(path) as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                match = STEP.search(line)
                if match is None:
                    continue
                step = int(match[1])
                if step < last:
                    return f"step {step} follows step {last} (line {number}); several processes wrote this record"
                if step > last:
                    last, kinds = step, set()
                for kind in KINDS:
                    if kind in line:
                        if kind in kinds:
                            return f"step {step} is there twice (line {number}); several processes wrote this record"
                        kinds.add(kind)
    except OSError:
        return ""
    return ""
