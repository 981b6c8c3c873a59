"""Write the predictions of a classifier as a table in CSV or Parquet, with one row for each image.

    path, class, confidence, problem      `problem` is the reason why the image could not be read
    score, rejected                       score from the option `reject`; 1 = it is below the rejection limit, 0 = not
    class_2, confidence_2, ...            the next most probable classes
    probability/CLASS                     probability of each class
    embedding/0, embedding/1, ...         embedding, in CSV; in Parquet, one column `embedding` of lists

The row of an image that could not be read contains only `path` and `problem`; the other columns are empty (in Parquet
null).
"""

import importlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from semisup.core.csv_cells import csv_text
from semisup.errors import MissingPackageError, SettingError
from semisup.runner.classifier import ClassifiedBatch
from semisup.runtime.atomic_files import AtomicFile
from semisup.text import escape_line


@dataclass(frozen=True)
class PredictionColumns:
    """The columns of a table of predictions.

    classes: the K class names
    top: number of most probable classes to list for each image, 1 to K
    probabilities: whether there is a column with the probability of each class
    dimension: number of values of an embedding; None = no columns for embeddings
    reject_limit: rejection limit (lowest score of an accepted image); None = no columns for scores

    Raises:
        SettingError: `top` is out of range.
    """

    classes: list[str]
    top: int = 1
    probabilities: bool = False
    dimension: int | None = None
    reject_limit: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.top <= len(self.classes):
            raise SettingError("--top", self.top, f"must be from 1 to {len(self.classes)}, the number of classes")

    def of_rejection(self) -> list[str]:
        """Return the names of the columns about rejection."""
        return [] if self.reject_limit is None else ["score", "rejected"]

    def ranked(self) -> list[str]:
        """Return the names of the columns for the second, third, ... most probable class."""
        return [f"{name}_{place}" for place in range(2, self.top + 1) for name in ("class", "confidence")]

    def of_classes(self) -> list[str]:
        """Return the names of the columns with the probability of each class."""
        return [f"probability/{name}" for name in self.classes] if self.probabilities else []

    def of_embedding(self) -> list[str]:
        """Return the names of the columns with the embedding in a CSV table, one for each of its values."""
        return [f"embedding/{place}" for place in range(self.dimension or 0)]


def csv_parts(columns: PredictionColumns, batches: Iterable[ClassifiedBatch]) -> Iterator[str]:
    """Yield the table as CSV in parts: the header, and then one part for each batch of images."""
    names = ["path", "class", "confidence", "problem", *columns.of_rejection()]
    yield escape_line(csv_text([[*names, *columns.ranked(), *columns.of_classes(), *columns.of_embedding()]]))
    for batch in batches:
        yield escape_line(csv_text(_csv_rows(columns, batch)))


def _csv_rows(columns: PredictionColumns, batch: ClassifiedBatch) -> Iterator[list[object]]:
    order = _order(columns, batch)
    width = (
        len(columns.of_rejection()) + len(columns.ranked()) + len(columns.of_classes()) + len(columns.of_embedding())
    )
    for number, (name, reason) in enumerate(zip(batch.names, batch.reasons, strict=True)):
        if reason is not None:
            yield [name, "", "", reason, *[""] * width]
            continue
        values, places = batch.probabilities[number].tolist(), order[number].tolist()
        best = [(columns.classes[place], f"{values[place]:.6f}") for place in places]
        row: list[object] = [name, *best[0], ""]
        if columns.reject_limit is not None and batch.scores is not None:
            score = float(batch.scores[number])  # not written as text, which would get an apostrophe if negative
            row += [Decimal(f"{score:.6f}"), int(score < columns.reject_limit)]
        row += [*(cell for pair in best[1:] for cell in pair)]
        row += [f"{value:.6f}" for value in values] if columns.probabilities else []
        row += list(batch.embeddings[number]) if batch.embeddings is not None else []
        yield row


def _order(columns: PredictionColumns, batch: ClassifiedBatch) -> Any:
    """Return the indices of the most probable classes of each image, most probable first: (n, top) int64."""
    return (-batch.probabilities).argsort(axis=1, kind="stable")[:, : columns.top]


def import_pyarrow(value: object) -> Any:
    """Import pyarrow and return it.

    Args:
        value: the file or format that needs pyarrow, for the error message.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise MissingPackageError(f"{value} needs the package pyarrow; type pip install 'semisup[parquet]'") from None


def write_parquet(columns: PredictionColumns, batches: Iterable[ClassifiedBatch], file: AtomicFile) -> None:
    """Write the table as Parquet, one row group for each batch.

    Raises:
        OSError: the file cannot be written, for example because the disk is full.
    """
    arrow = import_pyarrow("Parquet")
    schema = _schema(arrow, columns)
    with arrow.parquet.ParquetWriter(_Sink(file), schema) as writer:
        for batch in batches:
            writer.write_table(arrow.table(_arrow_columns(columns, batch), schema=schema))


def _schema(arrow: Any, columns: PredictionColumns) -> Any:
    text, number = arrow.string(), arrow.float32()
    fields = [("path", text), ("class", text), ("confidence", number), ("problem", text)]
    fields += [("score", number), ("rejected", arrow.bool_())] if columns.reject_limit is not None else []
    fields += [(name, text if name.startswith("class") else number) for name in columns.ranked()]
    fields += [(name, number) for name in columns.of_classes()]
    fields += [("embedding", arrow.list_(number, columns.dimension))] if columns.dimension is not None else []
    return arrow.schema(fields)


def _arrow_columns(columns: PredictionColumns, batch: ClassifiedBatch) -> dict[str, list[Any]]:
    order = _order(columns, batch)
    read = [reason is None for reason in batch.reasons]

    def where_read(values: Iterable[Any]) -> list[Any]:
        return [value if is_read else None for value, is_read in zip(values, read, strict=True)]

    table: dict[str, list[Any]] = {"path": [escape_line(name) for name in batch.names], "problem": list(batch.reasons)}
    if columns.reject_limit is not None and batch.scores is not None:
        table["score"] = where_read(batch.scores.tolist())
        table["rejected"] = where_read((batch.scores < columns.reject_limit).tolist())
    for place in range(columns.top):
        suffix = f"_{place + 1}" if place else ""
        numbers = order[:, place].tolist()
        table[f"class{suffix}"] = where_read(columns.classes[number] for number in numbers)
        values = batch.probabilities[range(len(numbers)), numbers].tolist()
        table[f"confidence{suffix}"] = where_read(values)
    for number, name in enumerate(columns.of_classes()):
        table[name] = where_read(batch.probabilities[:, number].tolist())
    if batch.embeddings is not None:
        table["embedding"] = where_read(batch.embeddings.tolist())
    return table


class _Sink(io.RawIOBase):
    """File object for pyarrow that writes to an AtomicFile."""

    def __init__(self, file: AtomicFile) -> None:
        self.target = file

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self.target.write(memoryview(chunk).tobytes())
        return len(memoryview(chunk).cast("B"))
