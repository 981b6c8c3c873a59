"""A run's folder: the truth about a run. W&B and every table are made from it.

config.yaml          all settings, resolved, plain data
run.json             status, environment, data set, what happened
data_report.json     files ignored and quarantined, where the data set is made of files
metrics.jsonl        one JSON object a line
pseudo_labels.csv    every unlabeled image in every round: class, confidence, kept
what_if.csv          what every threshold would have kept, and how much of it is right, at each labeling and in the end
classes.csv          what became of each class in every labeling
predictions.csv      every validation and test image, of the chosen model: true class, predicted class, confidence
checkpoints/         best-<step>-<digest>.pt, last-<step>-<digest>.pt (torch, weights_only)
plots/               PNG
summary.json         written last: a run that has it is finished
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semisup.runtime.atomic_files import write_atomically
from semisup.runtime.secrets import redact_values


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain JSON in one step: NaN and infinity become null, secrets are replaced."""
    text = json.dumps(finite(redact_values(value)), indent=2, ensure_ascii=True, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def finite(value: Any) -> Any:
    """The same nested data with None in place of every float that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` went to its end."""
    return (folder / "summary.json").is_file()
