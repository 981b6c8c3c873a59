"""`semisup predict RUN [RUN ...] IMAGES [IMAGES ...]`: classify images with the best models of one or several runs.

The probabilities of several models are averaged.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from semisup.text import printable, shell_quote

if TYPE_CHECKING:
    from semisup.runner.classifier import ClassifiedBatch
    from semisup.runner.image_inputs import ImageItem
    from semisup.runner.prediction_table import PredictionColumns

EPILOG = """\
Images are read exactly as in the run: same size, same conversion. Files that cannot be read are rows with an
empty class and the reason; files of a folder or archive that are not images are the last rows, with the reason
"ignored: ...". A table gives one row for each of its rows, in its order.
A path or class that begins with = + - @ gets one ' in front, so that no spreadsheet executes it; remove that one '
to get the name. Several runs, such as those of other seeds, form an ensemble: the mean of their class probabilities
decides. Paths are relative to the folder if one folder is given. Examples:

  semisup predict outputs/runs/RUN images/ --output classes.csv
  semisup predict outputs/runs/RUN a.jpg b.jpg --top=3 --probabilities
  semisup predict outputs/runs/RUN outputs/other/RUN images/
  semisup predict outputs/runs/RUN images/ --embeddings --output classes.parquet
  semisup predict outputs/runs/RUN images/ --reject
"""

PARQUET = (".parquet", ".pq")
"""Suffixes of the file `--output` for the format Parquet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup predict`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.usage = "semisup predict RUN [RUN ...] IMAGES [IMAGES ...] [options]"
    parser.description = (
        "Classify images with the best model of a run, or with the mean of several runs; table: path, class, "
        "confidence, problem."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="RUN ... IMAGES",
        help="a run directory, outputs/NAME/RUN (several = an ensemble); then image files, folders or archives "
        "(tar, zip) with images, also in folders inside them, or tables (CSV, TSV, Parquet) with a column of paths",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the table to this file instead of standard output; .parquet = as Parquet (semisup[parquet])",
    )
    parser.add_argument(
        "--file-column",
        metavar="NAME",
        help="column of the paths in a table; default: a usual name such as file or path",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file that --output names, if it exists")
    parser.add_argument(
        "--top", type=int, default=1, metavar="N", help="number of classes per image: adds class_2, confidence_2, ..."
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="add the probability of every class: columns probability/CLASS"
    )
    parser.add_argument(
        "--embeddings",
        action="store_true",
        help="add the features before the classifier layer: columns embedding/0, ...; in Parquet one column of lists",
    )
    parser.add_argument(
        "--reject",
        action="store_true",
        help="also whether an image seems to belong to no class, for a run that rejects images (reject=energy, ...): "
        "columns score and rejected (1 = its score is below the limit of the run)",
    )
    parser.add_argument("--device", default="auto", help="cpu, mps, cuda, cuda:N, or auto = cuda if there is one")
    parser.set_defaults(run_command=predict_command)


def predict_command(arguments: argparse.Namespace) -> int:
    """Classify the given images, write the table of predictions, and return the exit status.

    Raises:
        RecordError: RUN is not the directory of a finished run, its model is damaged, or the runs differ in their
        classes or in the settings for decoding images.
        DataError: an image file or folder does not exist, a folder contains no images, or the output is not writable.
        SettingError: an option is not valid.
        MissingPackageError: Parquet is requested and pyarrow is not installed.
    """
    from semisup.runner.prediction_table import import_pyarrow

    output = None if arguments.output is None else _check_output(arguments.output, overwrite=arguments.overwrite)
    if output is not None and _is_parquet(arguments.output):
        import_pyarrow(f"--output {arguments.output}")
    runs, images = _split_paths(arguments.paths)
    ignored: dict[str, str] = {}
    items = _list_images(images, ignored, arguments.file_column)
    _print_ignored(ignored)

    from semisup.runner.classifier import load_classifier
    from semisup.runner.prediction_table import PredictionColumns
    from semisup.runner.progress import Bars

    classifier = load_classifier(*runs, device=arguments.device)
    embeddings = arguments.embeddings
    dimension = classifier.dimension if embeddings else None
    limit = classifier.rejection.limit if arguments.reject else None
    columns = PredictionColumns(classifier.classes, arguments.top, arguments.probabilities, dimension, limit)
    reasons = {name: f"ignored: {_describe(reason)}" for name, reason in ignored.items()}
    with Bars() as bars:
        parts = {"embeddings": embeddings, "scores": arguments.reject}

        def announce(seconds: float) -> None:
            print(f"semisup predict: {len(items):,} images, about {_duration(seconds)} more", file=sys.stderr)

        batches = classifier.batches(items, **parts, watch=bars.watch, announce=announce)
        unread = [classifier.unread_batch(reasons, **parts)] if reasons else []
        rejected: Counter[bool] = Counter()
        _write(columns, _count_rejected(chain(batches, unread), limit, rejected), output)
    below = f"{rejected[True]} rejected, with a score below {limit:.4g}" if limit is not None else ""
    if output is not None:
        print(f"{len(items)} images: {arguments.output}{below and f'; {below}'}")
    elif below:
        print(f"semisup predict: {len(items)} images, {below}", file=sys.stderr)
    return 0


def _count_rejected(
    batches: "Iterable[ClassifiedBatch]", limit: float | None, rejected: "Counter[bool]"
) -> "Iterator[ClassifiedBatch]":
    """Yield the batches, and count their rejected and accepted images.

    Args:
        limit: rejection limit; None = the batches have no scores.
        rejected: a counter to which the function adds the number of rejected (True) and of accepted images (False).
    """
    for batch in batches:
        if limit is not None and batch.scores is not None:
            rejected.update((batch.scores < limit).tolist())
        yield batch


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _list_images(paths: list[Path], ignored: dict[str, str], file_column: str | None) -> "list[ImageItem]":
    """List the images in the given files, folders, archives and tables.

    Args:
        paths: the given paths.
        ignored: a dict to which the function adds the name of each file that is not an image, and the reason.
        file_column: column of the paths in a table (`--file-column`); None = the column with a usual name, such as
            `file`.

    Raises:
        DataError: there are no images, or a table is not valid.
    """
    from semisup.errors import DataError, SettingError
    from semisup.runner.image_inputs import list_images

    try:
        return list_images(paths[0] if len(paths) == 1 else paths, ignored, file_column)
    except (DataError, SettingError) as error:
        if "dataset.file_column" not in str(error):
            raise
        raise DataError(str(error).replace("dataset.file_column=", "--file-column=")) from None


def _split_paths(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Separate the run directories from the paths of images.

    The first path is always a run. Another path is a run if it contains the files of a run directory.

    Returns:
        The run directories, and the paths of images.

    Raises:
        RecordError: the first path is a folder of runs or of images, or there are no paths of images.
    """
    from semisup.analysis.runs import is_run
    from semisup.cli._best_run import best_runs, require_run
    from semisup.errors import RecordError
    from semisup.images.scan import has_run_files
    from semisup.record.run_check import check_run

    is_run_path = [has_run_files(path) for path in paths]
    if not is_run(paths[0]) and any(is_run_path) and not best_runs(paths[0]):
        ordered = sorted(paths, key=lambda path: not has_run_files(path))
        words = " ".join(shell_quote(path) for path in ordered)
        raise RecordError(
            f"{paths[0]}: is not the directory of a run; the run comes first: type semisup predict {words}"
        )
    is_run_path[0] = True
    runs = [path for path, is_one in zip(paths, is_run_path, strict=True) if is_one]
    images = [path for path, is_one in zip(paths, is_run_path, strict=True) if not is_one]
    typed = " ".join(shell_quote(path) for path in images) or "images/"
    require_run(runs[0], "semisup predict", typed)
    for run in runs:
        check_run(run)
    if not images:
        words = " ".join(shell_quote(path) for path in runs)
        raise RecordError(f"no images are given after the run; type semisup predict {words} images/")
    return runs, images


def _check_output(path: Path, *, overwrite: bool) -> Path:
    """Check that the file `--output` can be written, and return its path after following links.

    Args:
        overwrite: whether an existing file may be replaced.

    Raises:
        DataError: the folder does not exist, the path is not a regular file, or the file must not be replaced.
    """
    from semisup.errors import DataError

    output = path.resolve()
    if not output.parent.is_dir():
        raise DataError(f"--output {path}: no such folder: {output.parent}")
    if output.exists() and not output.is_file():  # renaming would replace /dev/null by a file
        raise DataError(f"--output {path}: not a regular file; without --output the CSV goes to standard output")
    if output.exists() and not overwrite:
        raise DataError(
            f"--output {path}: the file exists already; add --overwrite to replace it, or type another name"
        )
    return output


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in PARQUET


def _print_ignored(ignored: dict[str, str]) -> None:
    from semisup.images.ignored_files import describe_ignored

    if text := describe_ignored(Counter(ignored.values())):
        print(f"semisup predict: {text}", file=sys.stderr)


def _describe(reason: str) -> str:
    """Write the reason why a file is not classified, as text for the table of predictions.

    Args:
        reason: the suffix of the file, with its dot, if this is not the suffix of an image ("." = no suffix);
            otherwise the text of the reason, which is returned unchanged.
    """
    if not reason.startswith("."):
        return reason
    return "no suffix of an image" if reason == "." else f"{reason} is no suffix of an image"


def _write(columns: "PredictionColumns", batches: "Iterable[ClassifiedBatch]", output: Path | None) -> None:
    from semisup.runner.prediction_table import csv_parts, write_parquet
    from semisup.runtime.atomic_files import AtomicFile

    if output is None:
        for text in _for_terminal(csv_parts(columns, batches)):
            sys.stdout.write(text)
        return
    with AtomicFile(output.parent) as file:
        if _is_parquet(output):
            write_parquet(columns, batches, file)
        else:
            for text in csv_parts(columns, batches):
                file.write(text.encode())
        file.commit(output)


def _for_terminal(parts: Iterator[str]) -> Iterable[str]:
    """Escape control characters in the text of a table, given in pieces, if standard output is a terminal."""
    # the list makes the table appear after the progress bar has ended
    return map(printable_lines, list(parts)) if sys.stdout.isatty() else parts


def printable_lines(text: str) -> str:
    """Escape control characters in each line of a text; every line must end with a line break."""
    return "".join(printable(line, max_length=10 * len(line)) + "\n" for line in text.split("\n")[:-1])
