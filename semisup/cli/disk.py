"""`semisup disk [FOLDER]`: list how much disk space runs and caches take, and delete unneeded files."""

import argparse
import sys
from pathlib import Path

EPILOG = """\
--clean deletes decoded images, stored features, shared starts, and the states from which finished runs would resume:
the program makes them again when it needs them. It never deletes a record, a best model, a file of an unfinished run,
or a file that semisup did not write. While a run is in progress, only states of finished runs are deleted.

  semisup disk
  semisup disk outputs/mine --clean
"""


NOT_OURS = "not recognized as files of semisup, such as reports, sweeps' logs and your own files; never deleted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup disk`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "List what runs, checkpoints, caches and W&B files occupy on disk."
    parser.epilog = EPILOG
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path("outputs"),
        metavar="FOLDER",
        help="folder of runs; default: outputs",
    )
    parser.add_argument("--clean", action="store_true", help="delete what can be made again, after a question")
    parser.add_argument("--yes", action="store_true", help="with --clean: do not ask")
    parser.set_defaults(run_command=disk_command)


def disk_command(arguments: argparse.Namespace) -> int:
    """Print the disk usage by kind of file, with `--clean` delete removable files, and return the exit status.

    Raises:
        DataError: the folder is missing or has no files of semisup, `--clean` needs a terminal for its question, or
            `--yes` is given without `--clean`.
    """
    from semisup.errors import DataError
    from semisup.runner.disk_usage import KINDS, OTHER, REMOVABLE, clean, measure
    from semisup.text import counted, shell_quote

    if arguments.yes and not arguments.clean:
        raise DataError("--yes answers the question of --clean; add --clean, or leave out --yes")
    usage = measure(arguments.folder)
    for kind in KINDS:
        if usage.files[kind]:
            note = "  can be deleted" if kind in REMOVABLE else f"  {NOT_OURS}" if kind == OTHER else ""
            print(f"{_size(usage.size(kind)):>10}  {counted(len(usage.files[kind]), 'file'):>12}  {kind}{note}")
    print(f"{_size(sum(usage.sizes.values())):>10}  {counted(len(usage.sizes), 'file'):>12}  in total")
    removable = usage.removable()
    if usage.live:
        count = counted(len(usage.live), "run")
        print(f"{count} in progress, such as {shell_quote(usage.live[0])}: only states of finished runs can be deleted")
    if not removable:
        print("nothing can be deleted")
        return 0
    amount = f"{_size(sum(usage.sizes[path] for path in removable))} in {counted(len(removable), 'file')}"
    if not arguments.clean:
        print(f"{amount} can be made again: semisup disk {shell_quote(arguments.folder)} --clean deletes them")
        return 0
    if not (arguments.yes or _confirmed(f"delete {amount}? [y/N] ")):
        print("nothing was deleted")
        return 0
    freed, kept = clean(usage)
    print(f"deleted {_size(freed)}" + (f"; {counted(len(kept), 'file')} in use or not writable" if kept else ""))
    return 1 if kept else 0


def _confirmed(question: str) -> bool:
    """Ask a question on the terminal; return True for the answers y and yes.

    Raises:
        DataError: standard input is not a terminal.
    """
    from semisup.errors import DataError

    if not sys.stdin.isatty():
        raise DataError(
            "--clean asks for confirmation, but standard input is not a terminal; add --yes to delete without it"
        )
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
