"""Confirm the chosen cell of a sweep on fresh seeds: what is declared in advance, and what came of it.

The chosen setting, the setting of the best labels-only runs, and the seeds are written to
`<name>_confirm/confirmation.json` before the first run starts, and never changed after. So the interval over these
seeds is that of one cell named in advance (`docs/statistics.md`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from semisup.analysis.comparison import Comparison, Row, canonical, compare_runs, flatten, pair_runs, with_gains
from semisup.analysis.runs import find_runs, read_runs
from semisup.config.run_id import result_config
from semisup.errors import DataError, SettingError, check_range
from semisup.record import write_json
from semisup.record.reader import read_json
from semisup.text import escape

FILE = "confirmation.json"
SUFFIX = "_confirm"
FEWEST_SEEDS, MOST_SEEDS = 3, 100


class Plan(NamedTuple):
    """A confirmation as it was declared.

    folder: of its runs
    settings: what the chosen cell differs in from the other cells of the sweep
    config: the saved config of one run of the cell
    labels_only: the saved config of one run of the best labels-only setting; None if the sweep has none
    redraw_labels: the seeds of the sweep drew the labeled images, and those of the confirmation do too
    seeds: those of the confirmation; none of them is a seed of the sweep
    """

    folder: Path
    settings: dict[str, Any]
    config: dict[str, Any]
    labels_only: dict[str, Any] | None
    redraw_labels: bool
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
    redraw_labels = content.get("redraw_labels") is True
    return Plan(place, settings, config, labels_only if isinstance(labels_only, dict) else None, redraw_labels, seeds)


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
        "labels_only": next((run.config for run in comparison.labels_only.values()), None),
        "redraw_labels": all(run.config["dataset"].get("split_seed") == run.seed for run in best.runs),
        "seeds": list(range(first, first + seeds)),
    }
    place = confirmation_folder(folder)
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / FILE, content)
    declared = read_plan(folder)
    assert declared is not None
    return declared


def read_confirmation(folder: Path) -> tuple[Plan, Row | None] | None:
    """Read the confirmation of the sweep in `folder`: its plan, and the row of the declared cell over its seeds.

    Returns:
        None if nothing was declared; the row is None before its first run is finished. Its labels-only references are
        those of the declared setting.
    """
    plan = read_plan(folder)
    if plan is None:
        return None
    try:
        runs = read_runs(find_runs([plan.folder]))
    except DataError:
        return plan, None
    comparison = compare_runs([run for run in runs if run.seed in plan.seeds])
    row = next((row for row in comparison.rows if row.controls and _is_declared(row.runs[0].config, plan.config)), None)
    if row is None or plan.labels_only is None:
        return plan, row
    named = {run.seed: run for run in runs if run.done and _is_declared(run.config, plan.labels_only)}
    row = replace(row, labels_only=tuple(pair_runs(run, named.get(run.seed)) for run in row.runs))
    return plan, with_gains([row])[0]


def _is_declared(config: dict[str, Any], declared: dict[str, Any]) -> bool:
    """Whether the config is the declared one but for seed, name and places."""
    return canonical(_without_seed(config)) == canonical(_without_seed(declared))


def _without_seed(config: dict[str, Any]) -> dict[str, Any]:
    flat = flatten(result_config(config)) if config else {}
    return {key: value for key, value in flat.items() if key not in ("seed", "dataset.split_seed")}
