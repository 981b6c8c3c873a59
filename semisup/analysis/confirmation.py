"""Store and read the plan of a confirmation: new runs of the best setting of a sweep, with new seeds.

The plan is written to `<name>_confirm/confirmation.json` before the first of these runs starts. It contains the best
setting, the best labels-only setting and the new seeds. Since the setting is fixed in advance, the confidence interval
over the new seeds needs no correction for the choice. Seeds can be added later; then the number of seeds was not fixed
in advance (`docs/statistics.md`).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from semisup.analysis.comparison import Comparison, compare_runs, with_gains
from semisup.analysis.rows import Row, pair_runs
from semisup.analysis.run_settings import canonical, flatten
from semisup.analysis.runs import PARSE_ERRORS, find_runs, read_runs
from semisup.analysis.stored_predictions import StoredPredictions
from semisup.config.run_id import dataset_keys, result_config
from semisup.dataset import KeyRole
from semisup.errors import DataError, RecordError, SettingError, check_range
from semisup.record import write_json
from semisup.record.migrations import DEFINITIONS, migrate
from semisup.record.reader import read_json
from semisup.text import escape

FILE = "confirmation.json"
SUFFIX = "_confirm"
FEWEST_SEEDS, MOST_SEEDS, USUAL_SEEDS = 3, 100, 10


class Plan(NamedTuple):
    """Plan of a confirmation: new runs of the best setting of a sweep, with new seeds.

    folder: folder of the runs of the confirmation
    settings: key -> value in the best setting, only for the keys that have several values in the sweep
    config: the saved config of one run of the best setting
    identity: text that is the same for all configs that differ from `config` only in seeds, name and paths
    labels_only: the saved config of one run of the best labels-only setting; None if the sweep has none
    redraw_labels: whether each seed draws its own labeled images, in the sweep and in the confirmation
    seeds: seeds of the confirmation; none of them is a seed of the sweep
    earlier_numbers: the numbers of seeds that the plan had before seeds were added
    """

    folder: Path
    settings: dict[str, Any]
    config: dict[str, Any]
    identity: str
    labels_only: dict[str, Any] | None
    redraw_labels: bool
    seeds: list[int]
    earlier_numbers: list[int]


def confirmation_folder(folder: Path) -> Path:
    """Return the folder in which the confirmation of the sweep in `folder` is stored."""
    resolved = folder.resolve()
    return resolved.with_name(resolved.name + SUFFIX)


def is_confirmation(folder: Path) -> bool:
    """Whether a folder contains the runs of a confirmation."""
    return folder.resolve().name.endswith(SUFFIX) and (folder / FILE).is_file()


def confirmed_sweep(folder: Path) -> Path | None:
    """Return the folder of the sweep whose confirmation is stored in `folder`; None if it stores no confirmation."""
    if not is_confirmation(folder):
        return None
    path = folder if folder.name.endswith(SUFFIX) else folder.resolve()
    return path.with_name(path.name.removesuffix(SUFFIX))


def read_plan(folder: Path) -> Plan | None:
    """Read the plan of the confirmation of the sweep in `folder`; None if it is missing or damaged."""
    place = confirmation_folder(folder)
    content = read_json(place / FILE) or {}
    settings, config, seeds = content.get("settings"), content.get("config"), content.get("seeds")
    labels_only, redraw_labels = content.get("labels_only"), content.get("redraw_labels") is True
    if not isinstance(settings, dict) or not isinstance(config, dict) or not isinstance(seeds, list):
        return None
    if not seeds or not all(type(seed) is int for seed in seeds):
        return None
    try:
        config = migrate(config)  # like the configs of runs: the plan may be older than the newest setting
        if labels_only is not None:
            labels_only = migrate(labels_only)
            _identity(labels_only)
        earlier = [number for number in content.get("earlier_numbers") or [] if type(number) is int]
        return Plan(place, settings, config, _identity(config), labels_only, redraw_labels, seeds, earlier)
    except PARSE_ERRORS:
        return None


def declare(comparison: Comparison, folder: Path, seeds: int | None = None) -> Plan:
    """Choose the setting with the best validation score, and store the plan of its confirmation.

    If a plan is already stored, its settings are used; if `seeds` is larger than its number of seeds, seeds are added.

    Args:
        comparison: comparison of all runs of the sweep, which use one data set.
        folder: folder of the sweep.
        seeds: number of new seeds, from 3 to 100; None = the number in the stored plan, or USUAL_SEEDS.

    Raises:
        DataError: the sweep has no finished run that uses unlabeled images, or was trained by version 0.1.0.
        RecordError: a plan is stored, but its file cannot be used.
        SettingError: the number of seeds is out of range, or smaller than the number in the stored plan.
    """
    check_range("--seeds", seeds, FEWEST_SEEDS, MOST_SEEDS)
    place = confirmation_folder(folder)
    last = max((run.seed or 0 for run in comparison.runs), default=0)
    if (plan := read_plan(folder)) is not None:
        count = len(plan.seeds)
        number = count if seeds is None else seeds
        if number < count:
            raise SettingError(
                "--seeds",
                number,
                f"must be at least {count}, the number of seeds of this confirmation; type --seeds {count}, or "
                f"delete {escape(place)}",
            )
        return _with_seeds(folder, plan, number, max(last, *plan.seeds) + 1)
    if (place / FILE).exists():
        raise RecordError(
            f"{escape(place / FILE)}: is damaged; delete {escape(place)}, then type the semisup confirm command again"
        )
    best = comparison.best
    if best is None or not best.runs[0].uses_unlabeled:
        raise DataError(
            f"{escape(folder)}: has no finished run that uses unlabeled images, so there is nothing to confirm; "
            "type the semisup train command of this folder again to finish its runs"
        )
    config = best.runs[0].config
    if config["definitions"] != DEFINITIONS:
        raise DataError(
            f"{escape(folder)}: the runs were trained by semisup 0.1.0, so they cannot be confirmed; "
            "train them again with another name=NAME"
        )
    split_seeds = dataset_keys(config["dataset"], KeyRole.SPLIT_SEED)
    follow = [run.config["dataset"].get(key) == run.seed for run in best.runs for key in split_seeds]
    content = {
        "schema": 1,
        "of": folder.resolve().name,
        "settings": best.settings,
        "config": config,
        "labels_only": next((gain.finished.config for gain in best.labels_only if gain.finished), None),
        "redraw_labels": bool(follow) and all(follow),
        "seeds": list(range(last + 1, last + 1 + (USUAL_SEEDS if seeds is None else seeds))),
    }
    place.mkdir(parents=True, exist_ok=True)
    return _store(folder, content)


def _with_seeds(folder: Path, plan: Plan, number: int, first: int) -> Plan:
    """Add seeds to a stored plan, and return it.

    The numbers of seeds that it had before are stored too, because the seeds were added after results were known.

    Args:
        folder: folder of the sweep.
        number: number of seeds afterwards.
        first: the first of the added seeds.
    """
    if (more := number - len(plan.seeds)) == 0:
        return plan
    content = read_json(plan.folder / FILE) or {}
    earlier = [*plan.earlier_numbers, len(plan.seeds)]
    return _store(folder, content | {"seeds": [*plan.seeds, *range(first, first + more)], "earlier_numbers": earlier})


def _store(folder: Path, content: dict[str, Any]) -> Plan:
    write_json(confirmation_folder(folder) / FILE, content)
    plan = read_plan(folder)
    assert plan is not None
    return plan


def declared_row(comparison: Comparison, plan: Plan) -> Row | None:
    """Return the row of the sweep that the plan repeats with new seeds; None if the sweep does not have it any more."""
    return next(
        (row for row in comparison.rows if row.controls and _identity(row.runs[0].config) == plan.identity), None
    )


def labels_only_finished(plan: Plan) -> bool:
    """Whether the labels-only runs of a plan are finished for all seeds; True if the plan has none.

    If the labels-only setting is also the setting of the controls (the runs of the best setting, but without unlabeled
    images), its runs are these controls, which may be finished already.
    """
    if plan.labels_only is None:
        return True
    identity = _identity(plan.labels_only)
    try:
        runs = read_runs(find_runs([plan.folder]))
    except DataError:
        return False
    return set(plan.seeds) <= {run.seed for run in runs if run.done and _identity(run.config) == identity}


def read_confirmation(folder: Path) -> tuple[Plan, Row | None] | None:
    """Read the plan of the confirmation of the sweep in `folder`, and the results of its runs.

    Returns:
        The plan, and the finished runs as one row; None if no plan is stored. The row is None if no run is finished.
    """
    plan = read_plan(folder)
    if plan is None:
        return None
    try:
        runs = read_runs(find_runs([plan.folder]))
    except DataError:
        return plan, None
    comparison = compare_runs([run for run in runs if run.seed in plan.seeds])
    row = declared_row(comparison, plan)
    if row is None or plan.labels_only is None:
        return plan, row
    labels_only = _identity(plan.labels_only)
    named = {
        run.replicate: replace(run, select_by=comparison.select_by)
        for run in runs
        if run.done and _identity(run.config) == labels_only
    }
    row = replace(row, labels_only=tuple(pair_runs(run, named.get(run.replicate)) for run in row.runs))
    return plan, with_gains([row], StoredPredictions())[0]


def _identity(config: dict[str, Any]) -> str:
    """Convert a config to text that is equal for configs that differ only in seeds, name and paths."""
    flat = flatten(result_config(config))
    seeds = {"seed", *(f"dataset.{key}" for key in dataset_keys(config["dataset"], KeyRole.SPLIT_SEED))}
    return canonical({key: value for key, value in flat.items() if key not in seeds})
