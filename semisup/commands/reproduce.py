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
from pathlib import Path
from typing import Any

EPILOG = """\
RUN is a run's folder, wherever it was copied to, or a bare config.yaml (then there is nothing to compare with, and
the run is simply made). Settings after it can only be those that change no number; those of the saved config that say
where a run is written, cached, drawn and tracked do not count, but the defaults of `semisup train`:

  semisup reproduce outputs/runs/RUN
  semisup reproduce RUN dataset.root=/data/photographs tracking.mode=online

Exit status: 0 identical (or within --tolerance where the environment differs), 1 not, 2 RUN cannot be reproduced.
"""

OF_THE_CALLER = ("output_root", "plots", "tracking", "checkpoint")
OF_THE_CALLER_IN_DATASET = ("cache", "workers")
MAY_BE_SET = ("output_root", "plots", "tracking", "dataset.root", "dataset.truth", "dataset.cache", "dataset.workers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What follows `semisup reproduce`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Run a saved config again, into a new folder, and compare every metric of every step exactly."
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder or a config.yaml")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=f"{', '.join(MAY_BE_SET)}, tracking.*")
    parser.add_argument("--check-only", action="store_true", help="compare environment and data, and train nothing")
    parser.add_argument(
        "--tolerance", type=float, metavar="X", help="largest difference allowed where environments differ"
    )
    parser.set_defaults(run_command=reproduce)


def reproduce(arguments: argparse.Namespace) -> int:
    """Make the run again and say whether it is identical.

    Raises:
        RecordError: RUN is not a run or a config.
        SettingError: its config does not pass the gate, or a setting may not be given.
        DataError: its data set is not there or has changed.
    """
    from semisup import build
    from semisup.commands._progress import Bars
    from semisup.commands._run import quietly, run
    from semisup.record.reading import read_config, read_json

    quietly()
    bare = arguments.run.is_file()
    plain = read_config(arguments.run if bare else arguments.run / "config.yaml")
    plain = as_the_caller_wants(plain, arguments.settings) | {"name": f"reproduced-{secrets.token_hex(3)}"}
    checked = build.check(plain)
    about = {} if bare else read_json(arguments.run / "run.json") or {}
    differences = _environment_differences(about, checked)
    for line in differences:
        print(f"differs: {line}")
    with Bars() as bars:
        if about:
            _same_data(checked, about, bars)
        if arguments.check_only:
            print("not the same environment" if differences else "the same environment and data")
            return 1 if differences else 0
        outcome = run(checked, bars, of_a_sweep=False, job_type="reproduce")
    if outcome.status != "done":
        print(f"{outcome.status}: {outcome.message}")
        return outcome.exit_code
    if bare:
        print(f"done: {outcome.folder} (a bare config has no numbers to compare with)")
        return 0
    if not (arguments.run / "summary.json").exists():
        print("the first run did not finish: only what it has is compared")
    return _verdict(compare_metrics(arguments.run, outcome.folder), outcome.folder, differences, arguments.tolerance)


def as_the_caller_wants(plain: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """The saved config with the caller's own settings of all that changes no number.

    Raises:
        SettingError: one of the settings may not be given, or is none.
    """
    from semisup import build
    from semisup.commands._door import defaults
    from semisup.errors import SettingError
    from semisup.record.reading import read_value

    build.refuse_interpolations(plain)
    given = {}
    for word in settings:
        key, equals, text = word.partition("=")
        if not equals or (key not in MAY_BE_SET and not key.startswith("tracking.")):
            raise SettingError(key, text, f"may not be set here, only {', '.join(MAY_BE_SET)} and tracking.*")
        given[key] = read_value(text)
    dataset = plain.get("dataset")
    if not isinstance(dataset, dict):
        raise SettingError("dataset", dataset, "must be one of the data sets")
    mine = defaults(_options(dataset, given))
    plain = plain | {key: mine[key] for key in OF_THE_CALLER}
    own = {key: mine["dataset"].get(key) for key in OF_THE_CALLER_IN_DATASET if key in dataset}
    plain = plain | {"dataset": dataset | own}
    for key, value in given.items():
        group, _, field = key.partition(".")
        if key != "tracking":
            plain = plain | {group: plain[group] | {field: value} if field else value}
    return plain


def _options(dataset: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """What to compose the caller's defaults from: nothing of it is the stranger's but the name of our data set."""
    from semisup.commands._door import config_folder

    names = {path.stem for path in (config_folder() / "dataset").glob("*.yaml")}
    words = [f"dataset={dataset['name']}"] if dataset.get("name") in names else []
    words += [f"tracking={given['tracking']}"] if "tracking" in given else []
    return words + ([f"output_root={json.dumps(str(given['output_root']))}"] if "output_root" in given else [])


def _environment_differences(about: dict[str, Any], checked: Any) -> list[str]:
    from semisup.record.environment import differences, environment

    before, now = about.get("environment") or {}, {**environment(), "threads": checked.run.threads}
    return [f"{key}: {said}" for key, said in differences(before, now).items()] if before else []


def _same_data(checked: Any, about: dict[str, Any], bars: Any) -> None:
    from semisup.errors import DataError

    wanted = (about.get("dataset") or {}).get("fingerprint")
    found = checked.dataset.read(checked.dataset.survey(), bars.watch).fingerprint
    if wanted is not None and wanted != found:
        raise DataError("the data set is not the one of the run: its files, their contents or the split differ")


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
    then, now = _rows(one), _rows(other)
    finished = bool(_summary(one))
    values, first, largest = 0, "", 0.0
    if len(then) > len(now) or (finished and len(then) != len(now)):
        first, largest = f"{len(then)} rows of metrics then, {len(now)} now", math.inf
    known = {key for row in then for key in row} | set(_summary(one))
    for row, again in [*zip(then, now, strict=False), *([(_summary(one), _summary(other))] if finished else [])]:
        for key in {**row, **again}:
            if key.endswith("_seconds") or key not in known:
                continue
            values += 1
            old, new = row.get(key), again.get(key)
            if old != new:
                where = f"step {row['step']}, " if "step" in row else "summary, "
                first = first or f"{where}{key}: {old!r} then, {new!r} now"
                largest = max(largest, _distance(old, new))
    return Difference(values, first, largest)


def _rows(run: Path) -> list[dict[str, Any]]:
    from semisup.errors import RecordError

    try:
        return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise RecordError(f"{run}: metrics.jsonl cannot be read ({error})") from None


def _summary(run: Path) -> dict[str, Any]:
    from semisup.record.reading import read_json

    return read_json(run / "summary.json") or {}


def _distance(old: Any, new: Any) -> float:
    numbers = isinstance(old, int | float) and isinstance(new, int | float)
    return abs(old - new) if numbers else math.inf


def _verdict(found: Difference, folder: Path, differences: list[str], tolerance: float | None) -> int:
    if not found.first:
        print(f"identical ({found.values} values): {folder}")
        return 0
    print(f"not identical: {found.first}; largest difference {found.largest:g}: {folder}")
    if differences and tolerance is not None and found.largest <= tolerance:
        print(f"within the tolerance of {tolerance:g}, in another environment")
        return 0
    return 1
