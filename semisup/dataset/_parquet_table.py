"""Read a Parquet file as a table of file names, or of images as Hugging Face `datasets` stores them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from semisup.dataset._table_columns import CLASS, FILE, SPLIT, find_columns
from semisup.dataset._table_rows import Table, class_name
from semisup.errors import DataError
from semisup.text import escape

EXTRA = "Parquet is read with an extra; type pip install 'semisup[parquet]'"


def read_parquet_table(
    file: BinaryIO, shown_path: str, chosen: Mapping[str, str | None], required: Sequence[str]
) -> Table:
    """Read a Parquet table.

    Args:
        file: the open file.
        shown_path: path of the table, for messages.
        chosen: FILE, CLASS or SPLIT -> name of the column; None or missing = recognize the column by a usual name.
        required: the columns without which the table cannot be used.

    Raises:
        SettingError: a column that `chosen` names does not exist.
        DataError: the file is damaged, a required column is missing, or pyarrow is not installed.
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
        texts = {role: _texts(opened, names[role], shown_path) for role in (CLASS, SPLIT) if role in names}
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError) or not isinstance(error, (pyarrow.ArrowException, OSError)):
            raise
        raise DataError(f"{shown_path}: is damaged: {str(error).splitlines()[0]}") from None
    return Table(shown_path, range(len(files)), files, texts.get(CLASS), texts.get(SPLIT), cells)


def _files(opened: Any, column: str, shown_path: str) -> tuple[str | None, list[str]]:
    """Read the image names in a Parquet table.

    Returns:
        (cells, names). cells: path of the column with the bytes of the images, such as `image.bytes`; None if the table
        only names image files. names: name of each image; "" = no name.
    """
    import pyarrow

    type_ = opened.schema_arrow.field(column).type
    allowed = "images must be names of files, bytes of images, or a struct of bytes and path"
    refusal = DataError(f"{shown_path}: the column {escape(column)} has the type {escape(str(type_))}; {allowed}")
    fields = (
        {type_.field(number).name: type_.field(number).type for number in range(type_.num_fields)}
        if pyarrow.types.is_struct(type_)
        else {}
    )
    if "bytes" in fields:
        if not _is_binary(fields["bytes"]) or not _is_text(fields.get("path", pyarrow.string())):
            raise refusal
        if "path" not in fields:
            return f"{column}.bytes", [""] * opened.metadata.num_rows
        paths = opened.read(columns=[f"{column}.path"], use_threads=False).column(0).combine_chunks().field("path")
        return f"{column}.bytes", [path or "" for path in paths.to_pylist()]
    if _is_binary(type_):
        return column, [""] * opened.metadata.num_rows
    if _is_text(type_) and not pyarrow.types.is_null(type_):
        files = opened.read(columns=[column], use_threads=False).column(0).to_pylist()
        return None, [str(each or "") for each in files]
    raise refusal


def _is_binary(type_: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(type_) or types.is_large_binary(type_))


def _is_text(type_: Any) -> bool:
    from pyarrow import types

    plain = type_.value_type if types.is_dictionary(type_) else type_
    return bool(types.is_string(plain) or types.is_large_string(plain) or types.is_null(plain))


def _is_scalar(type_: Any) -> bool:
    """Whether values of a Parquet type can be classes: text, bytes, numbers or booleans."""
    from pyarrow import types

    plain = type_.value_type if types.is_dictionary(type_) else type_
    numeric = types.is_integer(plain) or types.is_floating(plain) or types.is_boolean(plain)
    return bool(numeric) or _is_text(plain) or _is_binary(plain)


def _texts(opened: Any, column: str, shown_path: str) -> list[str]:
    """Read a column of classes or splits as text; null becomes "".

    If the file contains names of the classes, class numbers are replaced by these names, and negative numbers by "".
    """
    where = f"{shown_path}: the column {escape(column)}"
    type_ = opened.schema_arrow.field(column).type
    if not _is_scalar(type_):
        raise DataError(f"{where} has the type {escape(str(type_))}; classes and splits must be text or numbers")
    class_names = _class_names(opened.schema_arrow, column)
    cache: dict[Any, str] = {None: ""}
    texts = []
    for row, value in enumerate(opened.read(columns=[column], use_threads=False).column(0).to_pylist()):
        if value not in cache:
            try:
                cache[value] = class_name(_text(value, class_names))
            except UnicodeDecodeError:
                raise DataError(f"{where} has bytes in row {row} that are not UTF-8 text") from None
            except IndexError:
                limit = f"and the names of {len(class_names)} classes, 0 to {len(class_names) - 1}"
                raise DataError(f"{where} has the class {value} in row {row}, {limit}") from None
        texts.append(cache[value])
    return texts


def _text(value: Any, class_names: Sequence[str]) -> str:
    """Convert a value of a column of classes or splits to text.

    Args:
        class_names: names of the class numbers 0, 1, ...; empty = numbers have no names.

    Raises:
        IndexError: the value is a class number without a name.
        UnicodeDecodeError: the value is bytes that are not UTF-8.
    """
    if class_names and isinstance(value, int):
        return class_names[value] if value >= 0 else ""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else str(value)
    return str(value).strip()


def _class_names(schema: Any, column: str) -> list[str]:
    """Read the class names that Hugging Face `datasets` stores in a Parquet file; [] without names."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
