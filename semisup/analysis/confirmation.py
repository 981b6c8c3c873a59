"""Confirm the chosen cell of a sweep on fresh seeds: what is declared in advance, and what came of it.

The chosen setting, the setting of the best labels-only runs, and the seeds are written to
`<name>_confirm/confirmation.json` before the first run starts, and never changed after. So the interval over these seeds
is that of one cell named in advance (`docs/statistics.md`).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from semisup.analysis.comparison import Comparison, Row, canonical
from semisup.analysis.runs import Run
from semisup.errors import DataError, SettingError, check_range, escape
from semisup.record import write_json
from semisup.record.reader import read_json

FILE = "confirmation.json"
SUFFIX = "_confirm"
FEWEST_SEEDS, MOST_SEEDS = 3, 100


class Plan(NamedTuple):
    """A confirmation as it was declared.

    folder: of its runs
    settings: what the chosen cell differs in from the other cells of the sweep
    config: the saved config of one run of the cell
    labels_only: the saved config of one run of the best labels-only setting; None if the sweep has none
    seeds: those of the confirmation; none of them is a seed of the sweep
    """

    folder: Path
    settings: dict[str, Any]
    config: dict[str, Any]
    labels_only: dict[str, Any] | None
    seeds: list[int]


def confirmation_folder(folder: Path) -> Path:
    """The folder of the confirmation of the sweep in `folder`."""
    resolved = folder.resolve()
    return resolved.with_name(resolved.name + SUFFIX)


def read_plan(folder: Path) -> Plan | None:
    """Read what was declared for the sweep in `folder`; None if nothing was, or the file cannot be used."""
    place = confirmation_folder(folder)
    content = read_json(place / FILE) or {}
    settings, config, seeds = content.get("settings"), content.get("config"), content.get("seeds")
    labels_only = content.get("labels_only")
    if not isinstance(settings, dict) or not isinstance(config, dict) or not isinstance(seeds, list):
        return None
    if not seeds or not all(type(seed) is int for seed in seeds):
        return None
    return Plan(place, settings, config, labels_only if isinstance(labels_only, dict) else None, seeds)


def declare(comparison: Comparison, folder: Path, seeds: int) -> Plan:
    """Choose the best cell on validation and write down how it will be confirmed; a plan that exists is returned.

    Args:
        comparison: of all runs of the sweep, of one data set.
        folder: of the sweep.
        seeds: how many fresh seeds, from 3 to 100.

    Raises:
        DataError: the sweep has no finished run that uses unlabeled images.
        SettingError: the number of seeds is out of range, or another number was declared before.
    """
    check_range("--seeds", seeds, FEWEST_SEEDS, MOST_SEEDS)
    if (plan := read_plan(folder)) is not None:
        if len(plan.seeds) != seeds:
            allowed = f"{len(plan.seeds)} seeds were declared; delete {escape(plan.folder)} to confirm anew"
            raise SettingError("--seeds", seeds, allowed)
        return plan
    best = comparison.best
    if best is None or not best.runs[0].uses_unlabeled:
        raise DataError(f"{escape(folder)}: no finished run that uses unlabeled images, so there is nothing to confirm")
    first = max(run.seed or 0 for run in comparison.runs) + 1
    content = {
        "schema": 1,
        "of": folder.resolve().name,
        "settings": best.settings,
        "config": best.runs[0].config,
        "labels_only": None if comparison.labels_only is None else comparison.labels_only.runs[0].config,
        "seeds": list(range(first, first + seeds)),
    }
    place = confirmation_folder(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / FILE, content)
    declared = read_plan(folder)
    assert declared is not None
    return declared


def confirmed_row(comparison: Comparison, plan: Plan) -> Row | None:
    """The row of the declared cell among the runs of the confirmation; None before its first run is finished."""
    return next((row for row in comparison.rows if row.runs[0].uses_unlabeled and _is_declared(row.runs[0], plan)), None)


def _is_declared(run: Run, plan: Plan) -> bool:
    """Whether the run has the settings of the plan, other than seed, name and places."""
    free = ("name", "seed", "output_root")
    own = {key: value for key, value in run.config.items() if key not in free}
    declared = {key: value for key, value in plan.config.items() if key not in free}
    for config in (own, declared):
        config["dataset"] = {key: value for key, value in config.get("dataset", {}).items() if key != "split_seed"}
    return canonical(own) == canonical(declared) and run.seed in plan.seeds


def as_text(plan: Plan) -> str:
    """The declared settings as JSON, for tests and logs."""
    return json.dumps(plan.settings, sort_keys=True)
