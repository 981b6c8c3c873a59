"""Interface to the files of a data set, which can be in a folder on disk or in archives.

All paths (`where`) are POSIX paths relative to the root of the data set; "." is the root itself.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from semisup.dataset._table import TABLE_SUFFIXES
from semisup.images.scan import ImageFile, Scan, class_folders, scan, shown


class Source(Protocol):
    """Interface to the folders and image files of a data set, with paths relative to its root."""

    def is_dir(self, where: str) -> bool:
        """Whether the path `where` is a folder."""
        ...

    def subfolders(self, where: str) -> list[str]:
        """List the paths of the folders directly in the folder `where`, sorted; [] if it cannot be read."""
        ...

    def folders(self, where: str) -> dict[str, str]:
        """List the folders directly in `where` that are not hidden: class name -> path.

        The class names are the names of the folders, printable and in the Unicode normalization form NFC.

        Raises:
            DataError: two folders have the same name in NFC, or `where` cannot be read.
        """
        ...

    def scan(self, where: str, *, recursive: bool = True) -> Scan:
        """Find the image files in the folder `where` and, if `recursive`, in its subfolders.

        Raises:
            DataError: a folder is missing or cannot be read.
        """
        ...

    def shown(self, where: str) -> str:
        """Return the path of the root, followed by `where`, as printable text for messages."""
        ...

    @property
    def is_table(self) -> bool:
        """Whether the user gave one or several tables, instead of a folder, as the root."""
        ...

    def tables(self) -> list[str]:
        """List the paths of the tables that the user named as the root, or else of all tables directly in the root."""
        ...

    def open_file(self, where: str) -> BinaryIO:
        """Open a table for reading.

        Raises:
            OSError, DataError: the table cannot be read.
        """
        ...

    def file_status(self, where: str) -> tuple[str, os.stat_result] | None:
        """Return the path on disk and the status of a table; None if it is inside an archive."""
        ...

    def attached(self) -> Mapping[str, ImageFile]:
        """Return the .cls, .json and table files inside the archives, which can contain classes: name -> file.

        {} for a folder on disk.
        """
        ...

    def other_roots(self) -> Iterator[tuple[str, "Source"]]:
        """Yield folders that the user may have meant as the root.

        Yields:
            (path for `dataset.root`, source with this root).
        """
        ...


@dataclass(frozen=True)
class FolderSource:
    """Files of a data set in a folder on disk; implements `Source`.

    root: path of the folder
    follow_symlinks: include the targets of links
    named_tables: file names of tables in this folder, if the user gave these tables instead of a folder as the root;
        otherwise empty
    """

    root: Path
    follow_symlinks: bool
    named_tables: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        return bool(self.named_tables)

    def tables(self) -> list[str]:
        if self.named_tables:
            return list(self.named_tables)
        try:
            entries = sorted(self.root.iterdir())
        except OSError:
            return []
        return [
            each.name
            for each in entries
            if each.suffix.lower() in TABLE_SUFFIXES and not each.name.startswith(".") and each.is_file()
        ]

    def open_file(self, where: str) -> BinaryIO:
        return open(self.root / where, "rb")

    def file_status(self, where: str) -> tuple[str, os.stat_result]:
        path = os.fspath(self.root / where)
        return path, os.stat(path)

    def attached(self) -> Mapping[str, ImageFile]:
        return {}

    def is_dir(self, where: str) -> bool:
        return (self.root / where).is_dir()

    def subfolders(self, where: str) -> list[str]:
        return [self._where(each) for each in list_subfolders(self.root / where)]

    def folders(self, where: str) -> dict[str, str]:
        found = class_folders(self.root / where, follow_symlinks=self.follow_symlinks)
        return {name: self._where(path) for name, path in found.items()}

    def scan(self, where: str, *, recursive: bool = True) -> Scan:
        folder = self.root / where
        return scan(self.root, folder, follow_symlinks=self.follow_symlinks, recursive=recursive)

    def shown(self, where: str) -> str:
        return shown(self.root / where)

    def other_roots(self) -> Iterator[tuple[str, Source]]:
        for root in (self.root.parent, *list_subfolders(self.root)):
            yield shown(root), FolderSource(root, self.follow_symlinks)

    def _where(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def last_name(where: str) -> str:
    """Return the last part of a path."""
    return PurePosixPath(where).name


def list_subfolders(parent: Path) -> list[Path]:
    try:
        return sorted(each for each in parent.iterdir() if each.is_dir())
    except OSError:
        return []
