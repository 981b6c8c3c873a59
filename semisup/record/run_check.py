"""Check that a directory that the user has typed is the directory of a run."""

from pathlib import Path

from semisup.errors import RecordError
from semisup.record import is_finished
from semisup.text import shell_quote

RUN_FILES = ("config.yaml", "run.json")
"""Files of which a run directory has at least one."""


def check_run(folder: Path) -> None:
    """Raise RecordError unless `folder` is the directory of a run (with config.yaml or run.json)."""
    try:
        exists = folder.is_dir()
        is_run = any((folder / name).is_file() for name in RUN_FILES)
    except OSError as error:  # such as a name that is too long
        raise RecordError(f"{shell_quote(folder)}: cannot be read: {error.strerror}") from None
    if not exists:
        raise RecordError(
            f"{shell_quote(folder)}: there is no such folder; type the directory of a run, outputs/NAME/RUN"
        )
    if not is_run:
        inside = next(iter(sorted(each.parent for name in RUN_FILES for each in folder.glob(f"*/{name}"))), None)
        example = (
            "the directory of a run, outputs/NAME/RUN"
            if inside is None
            else f"one of the runs in it, such as {shell_quote(inside)}"
        )
        raise RecordError(f"{shell_quote(folder)}: is not the directory of a run; type {example}")


def check_finished_run(folder: Path) -> None:
    """Raise RecordError unless `folder` is the directory of a finished run."""
    check_run(folder)
    if not is_finished(folder):
        command = "repeat the command that trained it, which continues it"
        raise RecordError(f"{shell_quote(folder)}: the run is not finished; {command}")
