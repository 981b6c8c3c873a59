"""The files of a run directory. W&B, tables and reports are derived from them.

config.yaml          all settings, resolved, as plain data
run.json             status, environment, data set, interruptions
data_report.json     ignored and quarantined files of a data set made of files
metrics.jsonl        one JSON object a line
pseudo_labels.csv    every unlabeled image in every round: class, confidence, selected or not
what_if.csv          coverage and accuracy of every threshold at each labeling and at the end
classes.csv          counts of each class in every labeling
predictions.csv      the selected model on every validation and test image: true class, predicted class, confidence
checkpoints/         best-<step>-<digest>.pt, last-<step>-<digest>.pt (torch, weights_only)
plots/               PNG
predictions.npz      its probability of every class, in the order of predictions.csv
summary.json         written last: a run that has it is finished
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.secrets import redact_values


def write_json(path: Path, value: Mapping[str, Any], confirm: Callable[[], None] = lambda: None) -> None:
    """Write plain JSON in one step: NaN and infinity become null, secrets are replaced; `write_atomically`."""
    text = json.dumps(finite(redact_values(value)), indent=2, ensure_ascii=True, allow_nan=False)
    write_atomically(path, text.encode() + b"\n", confirm=confirm)


def finite(value: Any) -> Any:
    """Replace every float that is not finite by None, in nested data."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` is finished."""
    return (folder / "summary.json").is_file()
