"""List the images that Parquet tables contain, with their names."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from semisup.dataset._source import Source
from semisup.dataset._table_rows import Table
from semisup.errors import DataError
from semisup.images.archive_members import ParquetCell
from semisup.text import escape_name


def embedded_images(source: Source, tables: Mapping[str, Table]) -> dict[str, list[ParquetCell]]:
    """List the images in Parquet tables, one for each row: path of the table -> images.

    The names of the images are taken from the table. If they are missing or not unique in a table, its images are named
    TABLE/ROW. If an image name occurs in two tables, TABLE/ is put before every name.

    Raises:
        DataError: a table is inside an archive.
    """
    names = {where: _names(where, table) for where, table in tables.items()}
    if len({name for each in names.values() for name in each}) < sum(map(len, names.values())):
        names = {
            where: each
            if each and each[0].startswith(f"{_stem(where)}/")
            else [f"{_stem(where)}/{name}" for name in each]
            for where, each in names.items()
        }
    images = {}
    for where, table in tables.items():
        located = source.file_status(where)
        if located is None:
            raise DataError(f"{table.shown_path}: Parquet inside an archive cannot be read; unpack the archive")
        path, status = located
        count = max(1, len(table.files))
        shared = status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
        column = table.cells or ""
        images[where] = [
            ParquetCell(path, name, status.st_size // count, *shared, row, column)
            for row, name in enumerate(names[where])
        ]
    return images


def _names(where: str, table: Table) -> list[str]:
    names = [escape_name(name.replace("\\", "/").removeprefix("./")) for name in table.files]
    if all(names) and len(set(names)) == len(names):
        return names
    digits = len(str(len(names)))
    return [f"{_stem(where)}/{row:0{digits}d}" for row in range(len(names))]


def _stem(where: str) -> str:
    return escape_name(PurePosixPath(where).stem)
