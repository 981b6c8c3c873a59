"""`semisup track RUN...`: show a run in W&B from its own record, whatever became of the mirror it had.

After a crash, for a run that was made with tracking=none, or on another account: config, every row, pictures and
summary come from the run's folder, under the id that the run itself would have had. Thumbnails are left out, for they
are made from the images. A run that did not finish is shown as failed, and its status stands in the summary.
"""

import argparse
import contextlib
import sys
import warnings
from pathlib import Path
from typing import Any

from semisup.text import printable

EPILOG = """\
RUN is a run's folder, or one that holds runs. Settings after it are those of the mirror; the saved config's do not
count, but conf/tracking/wandb.yaml does:

  semisup track outputs/runs
  semisup track outputs/runs/RUN tracking.project=digits tracking.mode=online

Exit status: 0 all are shown, 1 not all, 2 a folder is no run, or a setting is none.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What follows `semisup track`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Show runs in W&B from their own records: after a crash, or for runs made without tracking."
    parser.epilog = EPILOG
    parser.add_argument(
        "words", nargs="+", metavar="RUN", help="a run's folder, or outputs/NAME; then tracking.KEY=VALUE"
    )
    parser.set_defaults(run_command=track_command)


def track_command(arguments: argparse.Namespace) -> int:
    """Open, fill and close a mirror for each run.

    Raises:
        DataError: a folder is missing or holds no run.
        SettingError: a setting is none of the mirror's.
    """
    from semisup.analysis.runs import find_runs
    from semisup.report.console import short_warnings

    short_warnings()
    words = [word for word in arguments.words if "=" in word and not Path(word).exists()]
    tracking, output_root = _settings(words)
    runs = find_runs([Path(word) for word in arguments.words if word not in words])
    shown = [_upload_run(folder, tracking, output_root) for folder in runs]
    return 0 if all(shown) else 1


def _settings(words: list[str]) -> tuple[Any, Path]:
    """The caller's settings of the mirror, and the caller's output_root."""
    from semisup.config import schema
    from semisup.config.compose import defaults
    from semisup.errors import SettingError
    from semisup.record.reader import parse_value

    mine = defaults(["tracking=wandb"])
    for word in words:
        key, _, text = word.partition("=")
        group, _, field = key.partition(".")
        if key != "output_root" and (group != "tracking" or not field):
            raise SettingError(key, text, "may not be set here, only tracking.* and output_root")
        value = parse_value(text)
        mine = mine | ({"tracking": mine["tracking"] | {field: value}} if field else {key: value})
    tracking = schema.build_option("tracking", mine["tracking"])
    tracking.require_installed()
    return tracking, Path(str(mine["output_root"])).expanduser()


def _upload_run(folder: Path, tracking: Any, output_root: Path) -> bool:
    """Show one run and say so; whether it was shown."""
    from semisup.errors import RecordError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            status, rows = _mirror(folder, tracking, output_root)
        except (RecordError, OSError) as error:
            print(f"semisup track: {printable(error, 2000)}", file=sys.stderr)
            return False
    for warning in caught:
        print(f"semisup track: {printable(folder)}: {printable(warning.message, 2000)}", file=sys.stderr)
    if caught:
        return False
    print(f"{printable(status):<12}{rows} rows  {printable(folder)}")
    return True


def upload(folder: Path, tracking: Any) -> None:
    """A run that was finished before, for whoever waits for it in W&B; nothing where no record is to be had."""
    from semisup.errors import RecordError

    with contextlib.suppress(RecordError, OSError):
        _mirror(folder, tracking, folder.parent.parent)


def _mirror(folder: Path, tracking: Any, output_root: Path) -> tuple[str, int]:
    """Status of the run and number of rows shown.

    Raises:
        RecordError: a process is at the run, or its record cannot be read.
    """
    from semisup.errors import RecordError
    from semisup.record.lock import RunLock
    from semisup.record.reader import read_config, read_json, read_metrics
    from semisup.runner.metadata import wandb_info
    from semisup.runner.result import EXIT_STATUS

    RunLock(folder).check()
    config, about = read_config(folder / "config.yaml"), read_json(folder / "run.json") or {}
    log = folder / "metrics.jsonl"
    count = sum(1 for _ in read_metrics(log)) if log.exists() else 0  # all of it is sound before any of it is shown
    try:
        given = (about.get("id") or folder.resolve().name, about.get("job_type") or "train", config["name"])
        id_, job_type, name = _words(*given)
        made_here = folder.resolve().parts[-2:] == (name, id_)
        root = folder.resolve().parent.parent if made_here else output_root
        identity = wandb_info(config, id_, root, job_type)
    except (LookupError, TypeError, ValueError) as error:
        raise RecordError(f"{folder}: config.yaml or run.json is not that of a run ({error})") from None
    summary = read_json(folder / "summary.json")
    status = "done" if summary is not None else _unfinished(about)
    tracker = tracking.open(identity)
    for row in read_metrics(log) if count else ():
        tracker.row(row)
    tracker.plots(saved_plots(folder))
    flat = {name: value for name, value in (summary or {"status": status}).items() if not isinstance(value, dict)}
    tracker.close(flat, EXIT_STATUS["done" if status == "done" else "failed"])
    return status, count


def saved_plots(folder: Path) -> dict[str, Path]:
    """The run's own pictures. A link out of its folder is none: whatever it leads to is not for W&B."""
    own = folder.resolve()
    found = {path.stem: path for path in sorted((folder / "plots").glob("*.png")) if path.is_file()}
    return {name: path for name, path in found.items() if path.resolve().is_relative_to(own) and name.isprintable()}


def _words(*values: object) -> list[str]:
    """What W&B may call a run: our ids are such words, and whatever else a stranger's run.json says is none."""
    from semisup.config.sections import SLUG

    for value in values:
        if not isinstance(value, str) or not SLUG.fullmatch(value):
            raise ValueError(f"{value!r} is not a name")
    return [str(value) for value in values]


def _unfinished(about: dict[str, Any]) -> str:
    """The status of a run without a summary; one that says `running` was killed, for nobody is at it."""
    status = about.get("status")
    return "killed" if status in ("running", "done", None) else str(status)
