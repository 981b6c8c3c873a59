"""Write and read the files of a run directory.

config.yaml          all settings, resolved, as plain data
run.json             status, environment, data set, interruptions
data_report.json     ignored and unusable image files, if the data set consists of image files
metrics.jsonl        one JSON object per line
pseudo_labels.csv    every unlabeled image in every labeling round: class, confidence, selected or not
what_if.csv          coverage and accuracy of the pseudo-labels that other thresholds would select, at each labeling
                     and at the end
classes.csv          counts of each class in every labeling round
predictions.csv      every validation and test image: true class, class predicted by the best model, confidence
predictions.npz      the best model's probability of every class, rows in the order of predictions.csv
checkpoints/         best-<step>-<digest>.pt, last-<step>-<digest>.pt (torch, weights_only)
plots/               PNG
summary.json         written last: a run that has this file is finished
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.secrets import redact_values


def write_json(
    path: Path, value: Mapping[str, Any], confirm: Callable[[], None] = lambda: None, *, durable: bool = True
) -> None:
    """Write a JSON file atomically: after a crash the file has its old or its new content.

    NaN and infinity become null. Secrets, such as passwords in URLs, are replaced.

    Args:
        confirm: called right before the file gets its final name; it raises if this process may no longer write.
        durable: whether to call fsync. Without it, a power loss may leave an incomplete file; `read_json` ignores it.
    """
    text = json.dumps(finite(redact_values(value)), indent=2, ensure_ascii=True, allow_nan=False)
    write_atomically(path, text.encode() + b"\n", durable=durable, confirm=confirm)


def finite(value: Any) -> Any:
    """Replace NaN and infinity by None in nested data, because JSON has no such numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` is finished, which means that its summary.json exists."""
    return (folder / "summary.json").is_file()
