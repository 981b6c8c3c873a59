"""`semisup track RUN...`: upload runs to W&B from their run directories.

Use this command after a crash, for runs that were trained with tracking=none, or to upload to another account. Config,
metrics, plots and summary are uploaded, under the same W&B id as during the training. An unfinished run is uploaded as
failed, with its status in the summary.
"""

import argparse
import contextlib
import sys
import warnings
from pathlib import Path
from typing import Any

from semisup.record.status import RunStatus
from semisup.text import printable

EPILOG = """\
RUN is a run directory or a folder of runs. The settings after it are those of the upload; its defaults are in
conf/tracking/wandb.yaml, and the tracking settings of the saved configs are not used:

  semisup track outputs/runs
  semisup track outputs/runs/RUN tracking.project=digits tracking.mode=online

Exit status: 0 all runs were uploaded, 1 some were not, 2 a folder holds no run or a setting is not valid.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup track`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Upload runs to W&B from their records: after a crash, or for runs trained without tracking."
    parser.epilog = EPILOG
    parser.add_argument(
        "words", nargs="+", metavar="RUN", help="a run directory or outputs/NAME; then tracking.KEY=VALUE"
    )
    parser.set_defaults(run_command=track_command)


def track_command(arguments: argparse.Namespace) -> int:
    """Upload every run and return the exit status.

    Raises:
        DataError: a folder is missing or contains no run.
        SettingError: a word is not a setting of the tracker.
    """
    from semisup.analysis.runs import find_runs
    from semisup.runtime.warning_lines import short_warnings

    short_warnings()
    overrides = [word for word in arguments.words if "=" in word and not Path(word).exists()]
    tracking, output_root = _settings(overrides)
    runs = find_runs([Path(word) for word in arguments.words if word not in overrides])
    gains = _gains(runs, [Path(word) for word in arguments.words if word not in overrides])
    uploaded = [_upload_run(folder, tracking, output_root, gains.get(str(folder), {})) for folder in runs]
    return 0 if all(uploaded) else 1


def _gains(runs: list[Path], folders: list[Path]) -> dict[str, dict[str, object]]:
    """Compute the gains of runs: the differences in accuracy from their reference runs (such as the control).

    Args:
        runs: directories of the runs and of their reference runs.
        folders: the folders as the user typed them.

    Returns:
        Run directory -> name of the gain -> value.
    """
    from semisup.analysis.datasets import compare_experiments
    from semisup.analysis.runs import read_runs
    from semisup.report.wandb_report import gain_values

    gains: dict[str, dict[str, object]] = {}
    for comparison in compare_experiments(read_runs(runs), folders):
        gains |= gain_values(comparison)
    return gains


def _settings(overrides: list[str]) -> tuple[Any, Path]:
    """Parse overrides (KEY=VALUE); return the settings of the tracker and the path `output_root`.

    Raises:
        SettingError: an override is not a setting of the tracker.
    """
    from semisup.config.compose import defaults
    from semisup.config.settings_objects import build_option
    from semisup.config.typed_words import parse_settings

    given, config = parse_settings(overrides, ["output_root"]), defaults(["tracking=wandb"])
    output_root = given.pop("output_root", config["output_root"])
    own = {key.removeprefix("tracking."): value for key, value in given.items()}
    tracking = build_option("tracking", config["tracking"] | own)
    tracking.require_installed()
    return tracking, Path(str(output_root)).expanduser()


def _upload_run(folder: Path, tracking: Any, output_root: Path, gains: dict[str, object]) -> bool:
    """Upload one run and its gains, print a line about it, and return whether the upload succeeded."""
    from semisup.errors import RecordError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            status, rows = _replay(folder, tracking, output_root, gains)
        except (RecordError, OSError) as error:
            print(f"semisup track: {printable(error, 2000)}", file=sys.stderr)
            return False
    for warning in caught:
        print(f"semisup track: {printable(folder)}: {printable(warning.message, 2000)}", file=sys.stderr)
    if caught:
        return False
    print(f"{printable(status):<12}{rows} rows  {printable(folder)}")
    return True


def upload(folder: Path, tracking: Any, gains: dict[str, object] | None = None) -> bool:
    """Upload a finished run with its gains (see `_gains`); return False if the run directory cannot be read."""
    from semisup.errors import RecordError

    with contextlib.suppress(RecordError, OSError):
        _replay(folder, tracking, folder.resolve().parent.parent, gains or {})
        return True
    return False


def _replay(folder: Path, tracking: Any, output_root: Path, gains: dict[str, object]) -> tuple[str, int]:
    """Send the saved metrics, plots and summary of a run to a new tracker.

    Args:
        folder: run directory.
        tracking: settings of the tracker.
        output_root: folder for the files of W&B if the run directory is not ROOT/NAME/ID, with the name and id of the
            run; otherwise, ROOT is used.
        gains: values to add to the summary.

    Returns:
        The status of the run and the number of metric rows sent.

    Raises:
        RecordError: a process is training the run, or its record cannot be read.
    """
    from semisup.errors import RecordError
    from semisup.record.lock import RunLock
    from semisup.record.reader import read_config, read_json, read_metrics
    from semisup.runner.metadata import wandb_info
    from semisup.runner.result import EXIT_STATUS

    RunLock(folder).check()
    config, about = read_config(folder / "config.yaml"), read_json(folder / "run.json") or {}
    log = folder / "metrics.jsonl"
    count = sum(1 for _ in read_metrics(log)) if log.exists() else 0  # read completely before anything is sent
    try:
        id_, job_type, name = _check_slugs(
            about.get("id") or folder.resolve().name, about.get("job_type") or "train", config["name"]
        )
        in_place = folder.resolve().parts[-2:] == (name, id_)
        root = folder.resolve().parent.parent if in_place else output_root
        identity = wandb_info(config, id_, root, job_type)
    except (LookupError, TypeError, ValueError) as error:
        raise RecordError(f"{folder}: config.yaml or run.json is not valid ({error})") from None
    summary = read_json(folder / "summary.json")
    status = RunStatus.DONE if summary is not None else _unfinished(about)
    tracker = tracking.open(identity)
    for row in read_metrics(log) if count else ():
        tracker.row(row)
    tracker.plots(saved_plots(folder))
    flat = {name: value for name, value in (summary or {"status": status}).items() if not isinstance(value, dict)}
    tracker.close(flat | gains, EXIT_STATUS[RunStatus.DONE if status == RunStatus.DONE else RunStatus.FAILED])
    return status, count


def saved_plots(folder: Path) -> dict[str, Path]:
    """Return the plots of a run, without links to files outside the run directory.

    Returns:
        Name of the plot -> path of the file.
    """
    own = folder.resolve()
    plots = {path.stem: path for path in sorted((folder / "plots").glob("*.png")) if path.is_file()}
    return {name: path for name, path in plots.items() if path.resolve().is_relative_to(own) and name.isprintable()}


def _check_slugs(*values: object) -> list[str]:
    """Check that ids and names of a run can be used as names in W&B, and return them.

    Raises:
        ValueError: a value is not a valid name of a run (`SLUG`: letters, digits, `.`, `_` and `-`).
    """
    from semisup.config.sections import SLUG

    for value in values:
        if not isinstance(value, str) or not SLUG.fullmatch(value):
            raise ValueError(
                f"{value!r} is not a valid name of a run; a name has only letters, digits, `.`, `_` and `-`"
            )
    return [str(value) for value in values]


def _unfinished(about: dict[str, Any]) -> str:
    """Return the status of an unfinished run that no process is training; `killed` if `running` is recorded.

    Args:
        about: content of run.json.
    """
    status = about.get("status")
    return "killed" if status in (RunStatus.RUNNING, RunStatus.DONE, None) else str(status)
