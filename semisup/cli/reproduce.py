"""`semisup reproduce RUN`: run a saved config again and compare every metric with the record of RUN.

All settings that can change a result come from the saved config. Output directory, plots, checkpoints and tracking come
from the user's defaults and the command line. The reproduction has a run directory of its own.
"""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.config.caller_settings import SETTABLE_KEYS, merge_caller_settings
from semisup.record.status import RunStatus
from semisup.text import printable

if TYPE_CHECKING:
    from semisup.analysis.run_diff import Difference
    from semisup.config.schema import RunConfig
    from semisup.dataset import Data
    from semisup.runner.progress import Bars
    from semisup.runner.result import RunResult

EPILOG = """\
RUN is a run directory, a copy of a run directory, or a config.yaml (which is trained without a comparison). Only
settings that change no result can follow RUN. Output directory, cache, plots and tracking are not those of the saved
config, but the defaults of `semisup train`.

  semisup reproduce outputs/runs/RUN
  semisup reproduce RUN dataset.root=/data/photographs tracking.mode=online

To continue after an interruption, type the same command again.

Exit status: 0 identical (or within --tolerance if the environment differs), 1 not identical, 2 RUN cannot be
reproduced, 75 or 130 stopped by a signal.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup reproduce`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Run a saved config again, into a new folder, and compare every metric of every step exactly."
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory or a config.yaml")
    parser.add_argument(
        "settings",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help=f"{', '.join(SETTABLE_KEYS)}, tracking.*, and where the data are: dataset.root, dataset.cache, ...",
    )
    parser.add_argument("--check-only", action="store_true", help="only compare environment and data; train nothing")
    parser.add_argument(
        "--tolerance", type=float, metavar="X", help="largest difference allowed if the environments differ"
    )
    parser.add_argument(
        "--download-weights",
        action="store_true",
        help="download the model's pretrained weights if they are missing",
    )
    parser.set_defaults(run_command=reproduce_command)


def reproduce_command(arguments: argparse.Namespace) -> int:
    """Run a saved config again, print whether the metrics are identical, and return the exit status.

    Raises:
        RecordError: RUN is neither a run directory nor a config, or has no metrics to compare with.
        SettingError: the config of RUN is not valid, or a setting after RUN is not allowed.
        DataError: the data set of RUN is missing or has changed.
    """
    from semisup.cli._best_run import require_run
    from semisup.record.reader import read_config, read_json
    from semisup.record.run_check import check_run

    bare = not arguments.run.is_dir()
    if not bare:
        require_run(arguments.run, "semisup reproduce")
        check_run(arguments.run)
    config = read_config(arguments.run if bare else arguments.run / "config.yaml")  # before torch, which takes seconds
    from semisup.config import schema
    from semisup.runner.output_root import check_output_root
    from semisup.runner.progress import Bars
    from semisup.runner.reproduction import new_name
    from semisup.runner.weights import check_weights_present
    from semisup.runtime.torchrun_env import is_rank_zero
    from semisup.runtime.warning_lines import short_warnings

    short_warnings()
    config = merge_caller_settings(config, arguments.settings) | {"name": new_name()}
    if not arguments.download_weights:
        check_weights_present(schema.validate(config, weights=False), "add --download-weights to download them from")
    run_config = schema.validate(config)
    check_output_root(run_config.run.output_root)
    if not arguments.check_only:
        _check_reproducible(run_config, None if bare else arguments.run)
    about = {} if bare else read_json(arguments.run / "run.json") or {}
    _check_version(run_config, about)
    differences = _environment_differences(about, run_config)
    for line in differences if is_rank_zero() else ():
        print(f"differs: {line}")
    with Bars() as bars:
        if about:
            _check_same_data(run_config, arguments.run, about, bars)
            if difference := _feature_difference(run_config, about, bars):
                differences.append(difference)
                if is_rank_zero():
                    print(f"differs: {difference}")
        if arguments.check_only:
            if is_rank_zero():
                print("not the same environment" if differences else "the same environment and data")
            return 1 if differences else 0
        result = _run_again(run_config, arguments.run, bars)
    if not is_rank_zero():  # only rank 0 has a run directory to compare
        return result.exit_code
    return _report(result, None if bare else arguments.run, differences, arguments.tolerance)


def _run_again(run_config: "RunConfig", source: Path, bars: "Bars") -> "RunResult":
    """Train a saved config again, or continue an interrupted reproduction.

    Args:
        run_config: the config, with a new name for the reproduction.
        source: directory of the original run.
    """
    from semisup.config import schema
    from semisup.runner.reproduction import interrupted_name
    from semisup.runner.run import run

    if (name := interrupted_name(run_config, source)) is not None:
        named = schema.validate(run_config.config | {"name": name})
        result = run(named, bars, in_sweep=False, reproduces=source)
        if result.status not in (RunStatus.IN_USE, RunStatus.REFUSED):
            return result
    return run(run_config, bars, in_sweep=False, reproduces=source)


def _report(result: "RunResult", source: Path | None, differences: list[str], tolerance: float | None) -> int:
    """Compare a reproduction with the original run, print the result, and return the exit status.

    Args:
        result: result of the reproduction.
        source: directory of the original run; None if the user gave a config.yaml.
        differences: differences between the environments of the two runs.
        tolerance: largest allowed difference of a metric if the environments differ; None = no difference is allowed.
    """
    from semisup.analysis.run_diff import compare_metrics

    if result.status != RunStatus.DONE:
        print(f"{result.status}: {printable(result.message, 2000)}")
        return result.exit_code
    if source is None:
        print(f"done: {result.folder} (a config.yaml alone has no metrics to compare with)")
        return 0
    if not (source / "summary.json").exists():
        print("the original run did not finish: only the metrics that it recorded are compared")
    return print_result(compare_metrics(source, result.folder), result.folder, differences, tolerance)


def _check_reproducible(run_config: "RunConfig", run: Path | None) -> None:
    """Check that a run has metrics to compare with, and that the tracker is installed.

    Args:
        run_config: the config of the reproduction.
        run: directory of the original run; None if the user gave a config.yaml.

    Raises:
        RecordError: the run has no metrics, or the steps in its metrics.jsonl are not in order.
    """
    from semisup.errors import RecordError
    from semisup.record.reader import check_steps, read_metrics

    log = None if run is None else run / "metrics.jsonl"
    if log is not None and (not log.exists() or next(read_metrics(log), None) is None):
        raise RecordError(
            f"{run}: the run has no metrics to compare with; to train its config without comparison, "
            "give its config.yaml"
        )
    if log is not None:
        check_steps(log)
    run_config.tracking.require_installed()


def _check_version(run_config: "RunConfig", about: dict[str, Any]) -> None:
    """Raise SettingError if the meaning of a setting has changed since the version of semisup that trained the run.

    Args:
        about: content of the original run's run.json.
    """
    # `schema.validate` compares only `definitions`, of which several development versions had the same number
    from semisup.config import schema
    from semisup.record.reader import read_section

    packages = read_section(read_section(about, "environment"), "packages")
    schema.check_meaning(run_config.config, packages.get("semisup"))


def _environment_differences(about: dict[str, Any], run_config: "RunConfig") -> list[str]:
    """Return a line for each difference between the recorded and the present environment (CPU, package versions).

    Args:
        about: content of the original run's run.json.
    """
    from semisup.record.environment import diff_environments
    from semisup.record.reader import read_section
    from semisup.runner.metadata import environment_of

    before, now = read_section(about, "environment"), environment_of(run_config)
    changes = diff_environments(before, now) if before else {}
    hints = {
        "processes": f" (torchrun --nproc-per-node {printable(before.get('processes', 1))} -m semisup reproduce ...)"
    }
    return [f"{key}: {printable(change)}{hints.get(key, '')}" for key, change in changes.items()]


def _check_same_data(run_config: "RunConfig", run: Path, about: dict[str, Any], bars: "Bars") -> None:
    """Raise DataError if the data set differs from that of the original run.

    Args:
        run: directory of the original run.
        about: content of its run.json.
    """
    from semisup.errors import DataError
    from semisup.record.reader import read_section

    before = read_section(about, "dataset")
    recorded, data = before.get("fingerprint"), run_config.dataset.read(run_config.dataset.inspect(), bars.watch)
    if recorded is not None and recorded != data.fingerprint:
        raise DataError(f"the data set differs from that of the run: {_data_differences(run, before, data)}")


def _feature_difference(run_config: "RunConfig", about: dict[str, Any], bars: "Bars") -> str | None:
    """Describe how the encoder's features differ from those recorded for the original run; None if they are equal.

    Features that are missing on this machine are computed first.

    Args:
        about: content of the original run's run.json.
    """
    from semisup.record.reader import read_section
    from semisup.runner.data import load_data
    from semisup.runner.encoding import encode_run
    from semisup.runner.feature_difference import feature_difference

    before = read_section(about, "dataset").get("features")
    if run_config.encoder is None or before is None:
        return None
    encoded = encode_run(run_config, *load_data(run_config, bars), bars)
    return feature_difference(before, encoded.metadata)


def _data_differences(run: Path, before: dict[str, Any], data: "Data") -> str:
    """Describe how the present data set differs from that of a run.

    The classes, the number of images in each split, and the names of the validation and test images are compared.

    Args:
        run: directory of the run.
        before: description of the run's data set in its run.json.
        data: the present data set.
    """
    from semisup.analysis.run_history import read_predictions
    from semisup.dataset import SPLITS
    from semisup.record.reader import read_section
    from semisup.text import escape_line

    lines, counts = [], read_section(before, "counts")
    if before.get("classes") != list(data.classes):
        lines.append(f"classes {printable(before.get('classes'))} then, {printable(list(data.classes))} now")
    sizes = {split: len(getattr(data, split)) for split in SPLITS}
    lines += [
        f"{printable(counts.get(each))} {each} images then, {size} now"
        for each, size in sizes.items()
        if counts.get(each) != size
    ]
    for split in ("validation", "test"):
        then, now = (
            {each.path for each in read_predictions(run, split) or []},
            set(map(escape_line, getattr(data, split).paths)),
        )
        for change, names in (("gone", then - now), ("new", now - then if then else set())):
            if names:
                lines.append(f"{change} from {split}: {printable(', '.join(sorted(names)[:5]))}")
    return "; ".join(lines) or "the contents of its files or the split differ"


def print_result(difference: "Difference", folder: Path, environment: list[str], tolerance: float | None) -> int:
    """Print the result of comparing a run with its reproduction, and return the exit status.

    Args:
        difference: the differences between the metrics of the two runs.
        folder: directory of the reproduction.
        environment: the differences between the environments of the two runs.
        tolerance: largest allowed difference of a metric if the environments differ; None = no difference is allowed.

    Returns:
        0 if all metrics are identical, or if their differences are allowed; otherwise 1.
    """
    if not difference.values and not difference.first:
        print(f"nothing to compare with, because the original run has no metrics: {folder}")
        return 1
    if not difference.first:
        print(f"identical ({difference.values} values): {folder}")
        return 0
    largest = f"; largest difference {difference.largest:g}" if math.isfinite(difference.largest) else ""
    print(f"not identical: {difference.first}{largest}: {folder}")
    if environment and tolerance is not None and difference.largest <= tolerance and math.isfinite(difference.largest):
        print(f"the differences are within the tolerance of {tolerance:g}; the environments differ")
        return 0
    return 1
