"""Export a comparison for other programs: CSV with one line for each run, and JSON with rows and runs.

A row is all runs that differ only in seed and fold. Accuracies are in [0, 1] and have the same names as in
summary.json. Gains are in percentage points; their names contain `points`.
"""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from semisup.analysis.comparison import Comparison
from semisup.analysis.datasets import UNKNOWN_DATASET, dataset_label
from semisup.analysis.gains import BASELINE, CONTROL, LABELS_ONLY
from semisup.analysis.reference_groups import ReferenceGroup
from semisup.analysis.rows import ReferenceGain, Row
from semisup.analysis.runs import ACCURACY, Run
from semisup.analysis.spread import Spread
from semisup.core.csv_cells import protect_cell
from semisup.record import finite
from semisup.report.format_numbers import mean_gain
from semisup.text import escape_line

SCHEMA = 1
LENGTHS = ("steps", "epochs", "labeled_steps", "best/epoch")
SCORES = ("best/val/accuracy", "best/val/loss", "test/accuracy", "test/loss")
LABELING = ("pseudo/round", "pseudo/coverage", "pseudo/accuracy")
OPEN_SET = ("pseudo/rejected", "pseudo/reject_limit", "pseudo/other", "pseudo/reject_auroc")
"""Metrics about unlabeled images of no class; they become columns if a run has them."""

REFERENCES = {"control": CONTROL, "labels_only": LABELS_ONLY, "baseline": BASELINE}
"""Part of the names of columns -> kind of reference run."""


def as_csv(comparisons: list[Comparison], beside: Path) -> bytes:
    """Format comparisons as CSV with one line for each run, including controls, baselines and unfinished runs.

    An empty cell means that the value is unknown, or that the run does not have the setting.

    Args:
        beside: the folder of the CSV file; paths in the file are relative to it.
    """
    lines = [line for comparison in comparisons for line in run_lines(comparison, beside)]
    names = list(dict.fromkeys(name for line in lines for name in line))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in line.items()} for line in lines)
    return escape_line(buffer.getvalue()).encode()


def as_json(parts: list[tuple[Comparison, str]], beside: Path) -> bytes:
    """Format comparisons as JSON.

    For one data set, the object has, among others, the keys `best` (the best row), `selected_by` (the validation metric
    by which rows are ranked), `rows` (best first) and `runs`. For several data sets or several experiments, it has the
    list `data_sets`, with one such object for each, and the list `runs` of all runs.

    Args:
        parts: the comparison of each data set and its summary text.
        beside: the folder of the JSON file; paths in the file are relative to it.
    """
    objects: list[dict[str, Any]] = [
        {
            "sentence": sentence,
            "columns": comparison.columns,
            "selected_by": comparison.select_by,
            "best": _row(comparison.best) if comparison.best else None,
            "rows": [_row(row) for row in comparison.rows],
            "references": [_reference(reference) for reference in comparison.references],
            "same_selection": [each._asdict() for each in comparison.stability],
        }
        for comparison, sentence in parts
    ]
    named = [_names(comparison, beside) | part for (comparison, _), part in zip(parts, objects, strict=True)]
    value: dict[str, Any] = {"schema": SCHEMA} | (objects[0] if len(objects) == 1 else {"data_sets": named})
    value["runs"] = [line for comparison, _ in parts for line in run_lines(comparison, beside)]
    return json.dumps(finite(value), indent=2, allow_nan=False).encode() + b"\n"


def _names(comparison: Comparison, beside: Path) -> dict[str, Any]:
    """Return the data set of a comparison and, if several experiments are compared, the folder of the experiment."""
    if comparison.experiment is None:
        return {"dataset": comparison.data_set}
    dataset = comparison.data_set or next(filter(None, map(dataset_label, comparison.runs)), UNKNOWN_DATASET)
    return {"experiment": os.path.relpath(comparison.experiment.resolve(), beside.resolve()), "dataset": dataset}


def _run(comparison: Comparison, run: Run, beside: Path) -> dict[str, Any]:
    flat = comparison.flat(run)
    references = comparison.references_of.get(str(run.folder), {})
    return {
        "id": run.id,
        "name": run.name,
        "dataset": dataset_label(run),
        "folder": os.path.relpath(run.folder.resolve(), beside.resolve()),
        "role": comparison.roles.get(run.id, "run"),
        "status": run.status,
        "reason": run.reason,
        "seed": run.seed,
        **({} if run.fold is None else {"fold": run.fold}),
        **{key: flat.get(key) for key in comparison.columns},
        **{name: run.number(name) for name in (*LENGTHS, *SCORES, *_further_scores(comparison), *LABELING)},
        **{name: value for name in OPEN_SET if (value := run.number(name)) is not None},
        "seconds": run.seconds,
        "gains_measured_in": run.measure,
        **_pair("control", run.control_id, references.get(CONTROL)),
        **_pair("labels_only", None, references.get(LABELS_ONLY)),
        **_pair("baseline", run.baseline_id, references.get(BASELINE)),
    }


def _further_scores(comparison: Comparison) -> list[str]:
    """List the keys of the ranking metric on validation and test, such as `test/balanced_accuracy`, not in SCORES."""
    return [name for name in (f"best/val/{comparison.select_by}", f"test/{comparison.select_by}") if name not in SCORES]


def _pair(kind: str, id_: str | None, pair: ReferenceGain | None) -> dict[str, Any]:
    """Build the columns of comparison.csv for one reference run (control or baseline): id, status and gain."""
    return {
        f"{kind}/id": pair.other.id if pair and pair.other else id_,
        f"{kind}/status": pair.state if pair else None,
        f"{kind}/test/accuracy": pair.other.accuracy("test") if pair and pair.other else None,
        f"gain_over_{kind}_points": pair.points if pair else None,
    }


def run_lines(comparison: Comparison, beside: Path) -> list[dict[str, Any]]:
    """Build the lines of comparison.csv: one dictionary of unformatted values for each run."""
    return [_run(comparison, run, beside) for run in comparison.runs]


def row_lines(comparison: Comparison) -> list[dict[str, Any]]:
    """Build one flat dictionary of unformatted values for each row (the runs of one setting), all with the same keys.

    The standard deviation of the value NAME has the key `NAME deviation`.
    """
    return [_flat_row(comparison, row) for row in comparison.rows]


def _flat_row(comparison: Comparison, row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {key: row.settings.get(key) for key in comparison.columns} | {"seeds": len(row.runs)}
    spreads = {
        **{f"best/val/{name}": row.selection_value for name in [comparison.select_by] if name != ACCURACY},
        "best/val/accuracy": row.accuracy("validation"),
        "test/accuracy": row.accuracy("test"),
        **{f"gain_over_{name}_points": mean_gain(row.references(kind)) for name, kind in REFERENCES.items()},
    }
    for name, value in spreads.items():
        line |= {name: value and value.mean, f"{name} deviation": value and value.deviation}
    measure = row.runs[0].measure
    line |= {f"ensemble/test/{measure}": row.ensemble, "gains_measured_in": measure}
    for name, kind in REFERENCES.items():
        interval = row.gains[kind].sweep_interval if kind in row.gains else None
        line |= {f"gain_over_{name}_points low": interval and interval.low}
        line |= {f"gain_over_{name}_points high": interval and interval.high}
    return line | {name: row.mean(name) for name in ("pseudo/coverage", "pseudo/accuracy", "steps", "seconds")}


def _row(row: Row) -> dict[str, Any]:
    return {
        "settings": row.settings,
        "seeds": [run.seed for run in row.runs],
        **({} if row.runs[0].fold is None else {"folds": [run.fold for run in row.runs]}),
        "runs": [run.id for run in row.runs],
        "gains_measured_on": row.split,
        "gains_measured_in": row.runs[0].measure,
        f"best/val/{row.runs[0].select_by}": _spread(row.selection_value),
        "best/val/accuracy": _spread(row.accuracy("validation")),
        "test/accuracy": _spread(row.accuracy("test")),
        f"ensemble/test/{row.runs[0].measure}": row.ensemble,
        **{f"gain_over_{name}_points": _gain(row, kind) for name, kind in REFERENCES.items()},
        **{name: row.mean(name) for name in ("pseudo/coverage", "pseudo/accuracy", "steps", "seconds")},
    }


def _gain(row: Row, kind: str) -> dict[str, Any] | None:
    """Return mean, standard deviation and 95 % interval of the gain of a row (the runs of one setting).

    Returns:
        Values by name, in percentage points; None if no reference run of this kind is finished.
    """
    spread = _spread(mean_gain(row.references(kind)))
    interval = row.gains[kind].sweep_interval if kind in row.gains else None
    limits = {"low": None, "high": None} if interval is None else {"low": interval.low, "high": interval.high}
    return None if spread is None else spread | limits


def _reference(reference: ReferenceGroup) -> dict[str, Any]:
    return {
        "kind": reference.name,
        "settings": reference.settings,
        "runs": [run.id for run in reference.runs],
        "measured_on": reference.split,
        reference.runs[0].measure: _spread(reference.accuracy),
        f"ensemble/test/{reference.runs[0].measure}": reference.ensemble,
    }


def _spread(value: Spread | None) -> dict[str, Any] | None:
    return None if value is None else {"mean": value.mean, "deviation": value.deviation, "count": value.count}


def _cell(value: Any) -> Any:
    """Convert a value to the content of a CSV cell: lists and booleans become JSON.

    If a spreadsheet would execute the text as a formula, a quote is put in front of it.
    """
    if isinstance(value, str):
        return protect_cell(value)
    return json.dumps(value) if isinstance(value, bool) else plain_value(value)


def plain_value(value: Any) -> Any:
    """Convert a value of `run_lines` to plain text or a number for a table; lists become JSON."""
    return json.dumps(value) if isinstance(value, list) else value
