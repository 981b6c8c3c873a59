"""Layout `table`: tables name the image files and their classes, or contain the images.

    train.csv      file,class          the labeled images; rows without a class are unlabeled images
    val.csv        file,class          also valid.csv, dev.csv, ...
    test.csv       file,class          if no row has a class, these are unlabeled images
    unlabeled.csv  file

Instead of several tables, there can be one with a column for the split. Tables can be CSV, TSV or Parquet; the root can
be a table.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from semisup.dataset._embedded_images import embedded_images
from semisup.dataset._image_names import ImageNames
from semisup.dataset._image_rows import ImageRows
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._source import Source
from semisup.dataset._split_words import LABELED, SPLIT_WORDS, split_of_name
from semisup.dataset._table import read_available, read_table
from semisup.dataset._table_columns import CLASS, FILE
from semisup.dataset._table_rows import Table
from semisup.errors import DataError, SettingError, closest_match
from semisup.images.ignored_files import OTHER_SUFFIX, OUTPUT_FOLDER, with_ignored
from semisup.images.scan import ImageFile
from semisup.text import escape, escape_name

EXPECTS = "train.csv, with columns of image files and classes, and the images"

MISSING = "missing image of a table"
"""Reason for ignoring a row whose image does not exist."""

_TABLE_BITS = 40  # an origin is the number of the table, and in the lower bits the position of the row


def matches(source: Source, names: SetNames) -> bool:
    """Whether the root is a table, or contains a table such as train.csv."""
    return LABELED in _tables(source).values()


def scanned(source: Source, names: SetNames) -> Mapping[str, list[str]]:
    return {}  # an image that no table names is not used


def read(source: Source, names: SetNames) -> Listing:
    splits = _tables(source)
    if not splits:
        raise DataError(
            f"{source.shown('.')}: there is no table such as train.csv; name it with dataset.root=FOLDER/NAME.csv"
        )
    tables = _read_all(source, splits, names)
    rows = ImageRows(source.shown("."), lambda origin: _describe(list(tables.values()), origin))
    images = list_images(source, tables, names.image_folder, rows.ignored)
    missing: dict[int, str] = {}
    for number, (where, table) in enumerate(tables.items()):
        for row, file in enumerate(images[where]):
            origin = (number << _TABLE_BITS) + row
            if file is None:
                missing[origin] = table.files[row]
                continue
            class_ = table.classes[row] if table.classes is not None else ""
            rows.add(file, class_, _split(table, row, splits[where]), origin)
    if missing:
        _check_missing(missing, rows, source, names)
    plural = "table" if len(tables) == 1 else "tables"
    return rows.listing(f"{plural} {', '.join(map(escape_name, tables))}", names)


def _tables(source: Source) -> dict[str, str]:
    """Find the tables of a data set: path -> default split, for rows that do not name a split themselves.

    The default split comes from the name of the table, such as `val.csv`. A table without a split in its name is left
    out. But if the user named tables as the root and none of them has a split in its name, the default is `labeled`.
    """
    found = {where: split_of_name(PurePosixPath(where).name) for where in source.tables()}
    if source.is_table and (len(found) == 1 or not any(found.values())):
        return {where: split or LABELED for where, split in found.items()}
    return {where: split for where, split in found.items() if split is not None}


def _read_all(source: Source, paths: Iterable[str], names: SetNames) -> dict[str, Table]:
    """Read all tables of a data set.

    Args:
        paths: paths of the tables.
        names: settings of the data set. A column that they name must be in at least one table.

    Raises:
        SettingError: a column that the settings name is in no table.
        DataError: no table has a column of classes.
    """
    tables: dict[str, Table] = {}
    absent: dict[str, SettingError] = {}
    present: set[str] = set()
    for where in paths:
        lacking: dict[str, SettingError] = {}
        tables[where] = read_available(functools.partial(open_table, source, where), names.columns, lacking)
        absent = lacking | absent  # the first error about a column is kept
        present |= {f"dataset.{role}_column" for role, name in names.columns.items() if name is not None} - set(lacking)
    if missing := next((error for key, error in absent.items() if key not in present), None):
        raise missing
    if all(table.classes is None for table in tables.values()):
        open_table(source, next(iter(tables)), names.columns, (CLASS,))  # raises
    return tables


def open_table(
    source: Source,
    where: str,
    columns: Mapping[str, str | None],
    required: tuple[str, ...] = (),
    *,
    allow_unnamed: bool = False,
) -> Table:
    """Read a table of image files.

    Args:
        source: the files of the data set.
        where: path of the table.
        columns: FILE, CLASS or SPLIT -> name of the column; None or missing = recognize the column by a usual name.
        required: columns that the table must have besides FILE.
        allow_unnamed: accept rows without a file name.

    Raises:
        SettingError: there is no column with a name in `columns`.
        DataError: the table cannot be read, or a required column is missing.
    """
    try:
        with source.open_file(where) as file:
            return read_table(file, source.shown(where), columns, (FILE, *required), allow_unnamed=allow_unnamed)
    except OSError as error:
        raise DataError(f"{source.shown(where)}: cannot be read ({error.strerror})") from None


def _split(table: Table, row: int, default: str) -> str:
    if table.splits is None or not (word := table.splits[row]):
        return default
    split = SPLIT_WORDS.get(word.lower())
    if split is None:
        near = closest_match(word.lower(), SPLIT_WORDS)
        hint = f" (did you mean {near}?)" if near else ""
        allowed = "must be train, val, test or unlabeled"
        raise DataError(f"{table.shown_path}: row {table.rows[row]}: the split {escape(word)} {allowed}{hint}")
    return split


def list_images(
    source: Source, tables: Mapping[str, Table], image_folder: str | None, ignored: Counter[str]
) -> dict[str, list[ImageFile | None]]:
    """Find the image of each row of each table; None for a row without an image.

    Args:
        tables: path of the table -> its rows.
        image_folder: folder to which the names in the tables are relative; None = find it.
        ignored: suffix or other reason -> number of files that are not read; this function adds to it.

    Raises:
        DataError: no image of a table is found, or the images are found in several folders.
    """
    embedded = {where: table for where, table in tables.items() if table.cells is not None}
    images: dict[str, list[ImageFile | None]] = {}
    for where, cells in embedded_images(source, embedded).items():
        images[where] = list(cells)
    named = {where: table for where, table in tables.items() if table.cells is None}
    if not named:
        return images
    scan = source.scan(image_folder or ".")
    counts = Counter({**scan.ignored, **scan.suffixes})
    del counts[OUTPUT_FOLDER]  # no table names its plots
    if not image_folder:
        counts -= Counter(each for where in tables for each in (PurePosixPath(where).suffix.lower(), OTHER_SUFFIX))
    ignored.update(counts)
    files = ImageNames(scan.files, source.shown("."))
    folders = [image_folder] if image_folder else [".", *source.subfolders(".")]
    used: set[str] = set()
    for where, table in named.items():
        folder = files.folder_of(where, table.shown_path, table.files, folders)
        images[where] = [files.find(folder, name) for name in table.files]
        used.update(file.name for file in images[where] if file is not None)
    if unused := len(files.by_name) - len(used):
        ignored["image in no table"] += unused
    return images


def _check_missing(missing: Mapping[int, str], rows: ImageRows, source: Source, names: SetNames) -> None:
    """Count the rows whose image does not exist, and add a line of output about them.

    Args:
        missing: integer that identifies the row, as in `ImageRows.origins` -> name of the missing image.
        rows: rows whose image exists; the count and the line of output are added to it.

    Raises:
        DataError: there are more such rows than `dataset.max_bad_fraction` allows.
    """
    rows.ignored[MISSING] += len(missing)
    count = len(missing) + len(rows.files)
    share = len(missing) / count
    listed = "; ".join(f"{rows.describe(origin)}: {escape_name(name)}" for origin, name in list(missing.items())[:3])
    listed += "; ..." if len(missing) > 3 else ""
    message = f"{len(missing)} of {count} rows name an image that does not exist ({listed})"
    if share > names.max_bad_fraction:
        limit = f"more than dataset.max_bad_fraction={names.max_bad_fraction:g} allows"
        raise DataError(with_ignored(f"{source.shown('.')}: {message}, {limit}", rows.ignored))
    rows.notes.append(message)


def _describe(tables: list[Table], origin: int) -> str:
    table = tables[origin >> _TABLE_BITS]
    return f"{table.shown_path}: row {table.rows[origin & ((1 << _TABLE_BITS) - 1)]}"
