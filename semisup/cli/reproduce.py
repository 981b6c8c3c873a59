"""`semisup reproduce RUN`: run a saved config again and compare every number with the record.

The saved config is read as data and comes through the same gate as the command line; Hydra never sees it. It says what
the run is; where it is written, what is kept of it and where it is shown is the caller's to say. Nothing of the first
run is changed: the second one has a folder of its own.
"""

import argparse
import json
import math
import secrets
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from semisup.runtime.text import printable

EPILOG = """\
RUN is a run's folder, wherever it was copied to, or a bare config.yaml (then there is nothing to compare with, and
the run is simply made). Settings after it can only be those that change no number; those of the saved config that say
where a run is written, cached, drawn and tracked do not count, but the defaults of `semisup train`:

  semisup reproduce outputs/runs/RUN
  semisup reproduce RUN dataset.root=/data/photographs tracking.mode=online

Exit status: 0 identical (or within --tolerance where the environment differs), 1 not, 2 RUN cannot be reproduced.
"""

CALLER_KEYS = ("output_root", "plots", "tracking", "checkpoint")
SETTABLE_KEYS = ("output_root", "plots", "tracking", "model.weights")
"""With tracking.* and the settings that say where the data are and how this machine reads them (`KeyRole`)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What follows `semisup reproduce`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Run a saved config again, into a new folder, and compare every metric of every step exactly."
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder or a config.yaml")
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=VALUE",
        help=f"{', '.join(SETTABLE_KEYS)}, tracking.*, and where the data are: dataset.root, dataset.cache, ...",
    )
    parser.add_argument("--check-only", action="store_true", help="compare environment and data, and train nothing")
    parser.add_argument(
        "--tolerance", type=float, metavar="X", help="largest difference allowed where environments differ"
    )
    parser.add_argument(
        "--download-weights",
        action="store_true",
        help="fetch the pretrained weights of the model, if they are not here",
    )
    parser.set_defaults(run_command=reproduce_command)


def reproduce_command(arguments: argparse.Namespace) -> int:
    """Make the run again and say whether it is identical.

    Raises:
        RecordError: RUN is not a run or a config, or has no numbers yet.
        SettingError: its config does not pass the gate, or a setting may not be given.
        DataError: its data set is not there or has changed.
    """
    from semisup.errors import RecordError
    from semisup.record.reader import read_config, read_json

    bare = not arguments.run.is_dir()
    if not bare and not (arguments.run / "config.yaml").exists():
        raise RecordError(f"{arguments.run}: is no run's folder, for it has no config.yaml; a folder in it may be one")
    config = read_config(arguments.run if bare else arguments.run / "config.yaml")  # before torch, which takes seconds
    from semisup.config import schema
    from semisup.report.console import short_warnings
    from semisup.runner.progress import Bars
    from semisup.runner.run import run
    from semisup.runtime.torchrun_env import is_rank_zero

    short_warnings()
    config = merge_caller_settings(config, arguments.settings) | {"name": f"reproduced-{secrets.token_hex(3)}"}
    _check_weights_present(schema.validate(config, weights=False), download=arguments.download_weights)
    run_config = schema.validate(config)
    if not arguments.check_only:
        _check_reproducible(run_config, None if bare else arguments.run)
    about = {} if bare else read_json(arguments.run / "run.json") or {}
    differences = _environment_differences(about, run_config)
    for line in differences if is_rank_zero() else ():
        print(f"differs: {line}")
    with Bars() as bars:
        if about:
            _same_data(run_config, arguments.run, about, bars)
        if arguments.check_only:
            if is_rank_zero():
                print("not the same environment" if differences else "the same environment and data")
            return 1 if differences else 0
        result = run(run_config, bars, in_sweep=False, job_type="reproduce")
    if not is_rank_zero():  # its folder is the first process's, and so is what there is to say
        return result.exit_code
    if result.status != "done":
        print(f"{result.status}: {printable(result.message, 2000)}")
        return result.exit_code
    if bare:
        print(f"done: {result.folder} (a bare config has no numbers to compare with)")
        return 0
    if not (arguments.run / "summary.json").exists():
        print("the first run did not finish: only what it has is compared")
    return print_result(compare_metrics(arguments.run, result.folder), result.folder, differences, arguments.tolerance)


def _check_weights_present(run_config: Any, *, download: bool) -> None:
    """Raise SettingError if the pretrained weights of the model are not on this machine and may not be downloaded."""
    from semisup.errors import SettingError
    from semisup.model import Pretrained

    model = run_config.settings.model
    if isinstance(model, Pretrained) and not download and (address := model.download_url()) is not None:
        allowed = f"is not on this machine; --download-weights fetches {address}"
        raise SettingError("model.weights", run_config.config["model"]["weights"], allowed)


def _check_reproducible(run_config: Any, run: Path | None) -> None:
    """What would only be seen when all of it is trained.

    Raises:
        RecordError: the run has no numbers to compare with.
    """
    from semisup.errors import RecordError
    from semisup.record.reader import check_steps, read_metrics

    log = None if run is None else run / "metrics.jsonl"
    if log is not None and (not log.exists() or next(read_metrics(log), None) is None):
        raise RecordError(f"{run}: has no metrics to compare with; given its config.yaml, the run is simply made")
    if log is not None:
        check_steps(log)
    run_config.tracking.require_installed()


def merge_caller_settings(config: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """The saved config with the caller's own settings of all that changes no number.

    Raises:
        SettingError: one of the settings may not be given, or is none.
    """
    from semisup.config import schema
    from semisup.config.compose import defaults
    from semisup.config.run_id import dataset_keys
    from semisup.dataset import KeyRole
    from semisup.errors import SettingError
    from semisup.record.reader import parse_value

    schema.refuse_interpolations(config)
    dataset = config.get("dataset")
    if not isinstance(dataset, dict) or not isinstance(dataset.get("name"), str):
        raise SettingError("dataset", dataset, "must be one of the data sets")
    try:
        of_this_machine = dataset_keys(dataset, KeyRole.MACHINE)
        settable = [*SETTABLE_KEYS, *(f"dataset.{key}" for key in dataset_keys(dataset, KeyRole.PATH, KeyRole.MACHINE))]
    except SettingError as error:
        raise error.within("dataset") from None
    given = {}
    for word in settings:
        key, equals, text = word.partition("=")
        if not equals or (key not in settable and not key.startswith("tracking.")):
            raise SettingError(key, text, f"may not be set here, only {', '.join(settable)} and tracking.*")
        given[key] = parse_value(text)
    model = config.get("model")
    if "model.weights" in given and not (isinstance(model, dict) and model.get("sha256")):
        allowed = "may only be set for a run whose config has model.sha256, which says whether it is the same file"
        raise SettingError("model.weights", given["model.weights"], allowed)
    tracking = config.get("tracking")
    asked = any(key.startswith("tracking") for key in given)
    if isinstance(tracking, dict) and tracking.get("name") == "none" and not asked:
        given["tracking"] = "none"  # a run that was shown nowhere is not shown when it is made again
    mine = defaults(_options(dataset, given))
    config = config | {key: mine[key] for key in CALLER_KEYS}
    own = {key: mine["dataset"].get(key) for key in of_this_machine if key in dataset}
    config = config | {"dataset": dataset | own}
    for key, value in given.items():
        group, _, field = key.partition(".")
        if key != "tracking":
            config = config | {group: config[group] | {field: value} if field else value}
    return config


def _options(dataset: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """What to compose the caller's defaults from: nothing of it is the stranger's but the name of our data set."""
    from semisup.config.compose import option_files

    words = [f"dataset={dataset['name']}"] if dataset.get("name") in option_files("dataset") else []
    words += [f"tracking={given['tracking']}"] if "tracking" in given else []
    return words + ([f"output_root={json.dumps(str(given['output_root']))}"] if "output_root" in given else [])


def _environment_differences(about: dict[str, Any], run_config: Any) -> list[str]:
    from semisup.record.environment import diff_environments
    from semisup.record.reader import read_section
    from semisup.runner.metadata import environment_of

    before, now = read_section(about, "environment"), environment_of(run_config)
    found = diff_environments(before, now) if before else {}
    how = {
        "processes": f" (torchrun --nproc-per-node {printable(before.get('processes', 1))} -m semisup reproduce ...)"
    }
    return [f"{key}: {printable(said)}{how.get(key, '')}" for key, said in found.items()]


def _same_data(run_config: Any, run: Path, about: dict[str, Any], bars: Any) -> None:
    from semisup.errors import DataError
    from semisup.record.reader import read_section

    before = read_section(about, "dataset")
    wanted, found = before.get("fingerprint"), run_config.dataset.read(run_config.dataset.inspect(), bars.watch)
    if wanted is not None and wanted != found.fingerprint:
        raise DataError(f"the data set is not the one of the run: {_what_differs(run, before, found)}")


def _what_differs(run: Path, before: dict[str, Any], found: Any) -> str:
    """As far as the record tells: classes, how many images, and the names of those that were judged."""
    from semisup.analysis.run_history import read_predictions
    from semisup.dataset import SPLITS
    from semisup.record.append_log import escape_line
    from semisup.record.reader import read_section

    said, counts = [], read_section(before, "counts")
    if before.get("classes") != list(found.classes):
        said.append(f"classes {printable(before.get('classes'))} then, {printable(list(found.classes))} now")
    sizes = {split: len(getattr(found, split)) for split in SPLITS}
    said += [
        f"{printable(counts.get(each))} {each} images then, {size} now"
        for each, size in sizes.items()
        if counts.get(each) != size
    ]
    for split in ("validation", "test"):
        then, now = (
            {each.path for each in read_predictions(run, split) or []},
            set(map(escape_line, getattr(found, split).paths)),
        )
        for what, names in (("gone", then - now), ("new", now - then if then else set())):
            if names:
                said.append(f"{what} from {split}: {printable(', '.join(sorted(names)[:5]))}")
    return "; ".join(said) or "the contents of its files or the split differ"


@dataclass(frozen=True)
class Difference:
    """What became of the comparison: `values` compared; the first one that differs, and the largest difference."""

    values: int
    first: str
    largest: float


def compare_metrics(one: Path, other: Path) -> Difference:
    """Compare metrics.jsonl and summary.json of two run folders by exact value; wall-clock times are left out.

    The first may be unfinished, and of an earlier version: what it does not say is not compared.
    """
    from semisup.record.reader import read_metrics

    rows_of = {run: run / "metrics.jsonl" for run in (one, other)}
    counts, finished = [sum(1 for _ in read_metrics(log)) for log in rows_of.values()], bool(_summary(one))
    values, first, largest = 0, "", 0.0
    if counts[0] > counts[1] or (finished and counts[0] != counts[1]):
        first, largest = f"{counts[0]} rows of metrics then, {counts[1]} now", math.inf
    known = {key for row in read_metrics(rows_of[one]) for key in row} | set(_summary(one))
    pairs = zip(*map(read_metrics, rows_of.values()), strict=False)
    for row, again in chain(pairs, [(_summary(one), _summary(other))] if finished else []):
        for key in {**row, **again}:
            if key.endswith("_seconds") or key not in known:
                continue
            values += 1
            old, new = row.get(key), again.get(key)
            if old != new:
                where = f"step {row['step']}, " if "step" in row else "summary, "
                first = first or f"{where}{printable(key)}: {printable(repr(old))} then, {printable(repr(new))} now"
                largest = max(largest, _distance(old, new))
    return Difference(values, first, largest)


def _summary(run: Path) -> dict[str, Any]:
    from semisup.record.reader import read_json

    return read_json(run / "summary.json") or {}


def _distance(old: Any, new: Any) -> float:
    from semisup.analysis.runs import as_number

    before, after = as_number(old), as_number(new)
    return math.inf if before is None or after is None else abs(before - after)


def print_result(found: Difference, folder: Path, differences: list[str], tolerance: float | None) -> int:
    if not found.values and not found.first:
        print(f"nothing to compare with: the first run has no numbers yet: {folder}")
        return 1
    if not found.first:
        print(f"identical ({found.values} values): {folder}")
        return 0
    largest = f"; largest difference {found.largest:g}" if math.isfinite(found.largest) else ""
    print(f"not identical: {found.first}{largest}: {folder}")
    if differences and tolerance is not None and found.largest <= tolerance and math.isfinite(found.largest):
        print(f"within the tolerance of {tolerance:g}, in another environment")
        return 0
    return 1
