"""Read a Parquet file as a table: file names, or the images themselves as the library `datasets` writes them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from semisup.dataset._table_columns import CLASS, FILE, SPLIT, find_columns
from semisup.dataset._table_rows import Table, class_name
from semisup.errors import DataError

EXTRA = "Parquet is read with an extra; type pip install 'semisup[parquet]'"


def read_parquet_table(
    file: BinaryIO, shown_path: str, chosen: Mapping[str, str | None], required: Sequence[str]
) -> Table:
    """Read a Parquet table; arguments and result are those of `read_table`.

    Raises:
        DataError: also if pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{shown_path}: {EXTRA}") from None
    try:
        opened = parquet.ParquetFile(file, pre_buffer=False)
        schema = opened.schema_arrow
        columns = find_columns(shown_path, schema.names, chosen, required)
        names = {role: schema.names[position] for role, position in columns.items()}
        cells, files = _files(opened, names[FILE], shown_path)
        texts = {role: _texts(opened, names[role], schema) for role in (CLASS, SPLIT) if role in names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError) or not isinstance(error, (pyarrow.ArrowException, OSError)):
            raise
        raise DataError(f"{shown_path}: is damaged: {str(error).splitlines()[0]}") from None
    return Table(shown_path, range(len(files)), files, texts.get(CLASS), texts.get(SPLIT), cells)


def _files(opened: Any, column: str, shown_path: str) -> tuple[str | None, list[str]]:
    """Read the image names in a Parquet table.

    Returns:
        Path of the column of the images' bytes; None if the table has names of files instead. And the names; "" for an
        image without a name.
    """
    import pyarrow

    type_ = opened.schema_arrow.field(column).type
    if pyarrow.types.is_struct(type_) and "bytes" in {type_.field(number).name for number in range(type_.num_fields)}:
        fields = {type_.field(number).name for number in range(type_.num_fields)}
        if "path" not in fields:
            return f"{column}.bytes", [""] * opened.metadata.num_rows
        paths = opened.read(columns=[f"{column}.path"], use_threads=False).column(0).combine_chunks().field("path")
        return f"{column}.bytes", [path or "" for path in paths.to_pylist()]
    if pyarrow.types.is_binary(type_) or pyarrow.types.is_large_binary(type_):
        return column, [""] * opened.metadata.num_rows
    if pyarrow.types.is_string(type_) or pyarrow.types.is_large_string(type_) or pyarrow.types.is_dictionary(type_):
        files = opened.read(columns=[column], use_threads=False).column(0).to_pylist()
        if (missing := next((row for row, each in enumerate(files) if not each), None)) is not None:
            raise DataError(f"{shown_path}: row {missing} has no file name")
        return None, [str(each) for each in files]
    allowed = "must be names of files, bytes of images, or a struct of bytes and path"
    raise DataError(f"{shown_path}: the column {column} has the type {type_}; images {allowed}")


def _texts(opened: Any, column: str, schema: Any) -> list[str]:
    """Read a column of classes or splits as text; null is "", and so are negative numbers of classes with names."""
    class_names = _class_names(schema, column)
    cache: dict[Any, str] = {None: ""}
    texts = []
    for value in opened.read(columns=[column], use_threads=False).column(0).to_pylist():
        if value not in cache:
            cache[value] = class_name(_text(value, class_names))
        texts.append(cache[value])
    return texts


def _text(value: Any, class_names: Sequence[str]) -> str:
    if class_names and isinstance(value, int):
        return class_names[value] if 0 <= value < len(class_names) else "" if value < 0 else str(value)
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else str(value)
    return str(value).strip()


def _class_names(schema: Any, column: str) -> list[str]:
    """Read the names of the numbered classes from the metadata that the library `datasets` writes; [] without them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
