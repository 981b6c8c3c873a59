"""`semisup predict RUN [RUN ...] FOLDER`: classify images with the best models of one or several runs.

The probabilities of several models are averaged.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semisup.core.csv_cells import csv_text
from semisup.text import printable

EPILOG = """\
Images are read exactly as in the run: same size, same conversion. Files that cannot be read are rows with an
empty class and the reason. A path or class that begins with = + - @ gets one ' in front, so that no spreadsheet
executes it; remove that one ' to get the name. Several runs, such as those of other seeds, form an ensemble: the
mean of their class probabilities decides. Examples:

  semisup predict outputs/runs/RUN images/ --output classes.csv
  semisup predict outputs/runs/RUN outputs/other/RUN images/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup predict`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Classify every image below a folder with the best model of a run, or with the mean of several runs; "
        "CSV: path, class, confidence, problem."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="a run directory, outputs/NAME/RUN; several = an ensemble"
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder with images, also in folders inside it")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the CSV to this file instead of standard output"
    )
    parser.set_defaults(run_command=predict_command)


def predict_command(arguments: argparse.Namespace) -> int:
    """Classify the images and write the CSV.

    Raises:
        RecordError: RUN is not the directory of a finished run, its model is damaged, or the runs differ in their
            classes or in how they read images.
        DataError: FOLDER contains no images.
    """
    from semisup.errors import DataError
    from semisup.images.scan import describe_ignored, scan, with_ignored

    if not arguments.folder.is_dir():
        problem = "is a file; give the folder that it is in" if arguments.folder.exists() else "no such folder"
        raise DataError(f"{arguments.folder}: {problem}")
    output = arguments.output.resolve() if arguments.output is not None else None  # the target of a link is written
    if output is not None and not output.parent.is_dir():
        raise DataError(f"--output {arguments.output}: no such folder: {output.parent}")
    if output is not None and output.exists() and not output.is_file():  # renaming would replace /dev/null by a file
        raise DataError(
            f"--output {arguments.output}: not a regular file; without --output the CSV goes to standard output"
        )
    result = scan(arguments.folder, arguments.folder, follow_symlinks=False)
    files, ignored = result.files, result.ignored | result.suffixes
    if not files:
        raise DataError(with_ignored(f"{arguments.folder}: holds no image files", ignored))
    if text := describe_ignored(ignored):
        print(f"semisup predict: {text}", file=sys.stderr)
    parts = _csv_parts(arguments.runs, sorted(files, key=lambda file: file.name))
    if output is None:
        for text in map(printable_lines, list(parts)) if sys.stdout.isatty() else parts:  # a list: after the bar
            sys.stdout.write(text)
    else:
        from semisup.runtime.atomic_files import AtomicFile

        with AtomicFile(output.parent) as file:
            for text in parts:
                file.write(text.encode())
            file.commit(output)
        print(f"{len(files)} images: {arguments.output}")
    return 0


def _csv_parts(runs: list[Path], files: list[Any]) -> Iterator[str]:
    """Yield the CSV in parts, one for each batch of images, so that few images are in memory at once."""
    from semisup.runner.classifier import load_classifier
    from semisup.runner.progress import Bars
    from semisup.text import escape_line

    classifier = load_classifier(*runs, device="cpu")
    yield csv_text([["path", "class", "confidence", "problem"]])
    with Bars() as bars:
        for batch in classifier.batches(files, watch=bars.watch):
            yield escape_line(csv_text(_rows(classifier.labels(batch.probabilities), batch)))


def _rows(labels: list[str], batch: Any) -> Iterator[list[object]]:
    """Yield name, class and confidence of each file; for an unreadable file, its name and the reason."""
    confidences = batch.probabilities.max(axis=1).tolist()
    for name, label, confidence, reason in zip(batch.names, labels, confidences, batch.reasons, strict=True):
        yield [name, "", "", reason] if reason is not None else [name, label, f"{confidence:.6f}", ""]


def printable_lines(text: str) -> str:
    """Escape the control characters in the lines of `text`, for a terminal."""
    return "".join(printable(line, max_length=10 * len(line)) + "\n" for line in text.split("\n")[:-1])
