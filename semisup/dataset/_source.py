"""Where the files of a data set come from: a folder, or something else that has folders and image files.

A layout reads a source through this interface only. All paths (`where`) are POSIX paths relative to the root of the
source; "." is the root itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from semisup.errors import SettingError, closest_match
from semisup.images.scan import Scan, class_folders, scan, shown


class Source(Protocol):
    """Folders and image files below one root."""

    def is_dir(self, where: str) -> bool:
        """Whether there is a folder at `where`."""
        ...

    def subfolders(self, where: str) -> list[str]:
        """List the paths of all folders in the folder `where`, sorted; [] if it cannot be read."""
        ...

    def folders(self, where: str) -> dict[str, str]:
        """List the folders in `where` that can be classes: name of the class -> path.

        The names are printable and in Unicode's form NFC; hidden folders are left out.

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
        """Return the path of `where` for messages, with the path of the root before it."""
        ...

    def other_roots(self) -> Iterator[tuple[str, "Source"]]:
        """Yield sources that the user may have meant in place of this one: value of `dataset.root` -> source."""
        ...


@dataclass(frozen=True)
class FolderSource:
    """The files in a folder on disk."""

    root: Path
    follow_symlinks: bool

    def is_dir(self, where: str) -> bool:
        return (self.root / where).is_dir()

    def subfolders(self, where: str) -> list[str]:
        return [self._where(each) for each in _subfolders(self.root / where)]

    def folders(self, where: str) -> dict[str, str]:
        found = class_folders(self.root / where, follow_symlinks=self.follow_symlinks)
        return {name: self._where(path) for name, path in found.items()}

    def scan(self, where: str, *, recursive: bool = True) -> Scan:
        folder = self.root / where
        return scan(self.root, folder, follow_symlinks=self.follow_symlinks, recursive=recursive)

    def shown(self, where: str) -> str:
        return shown(self.root / where)

    def other_roots(self) -> Iterator[tuple[str, Source]]:
        for root in (self.root.parent, *_subfolders(self.root)):
            yield shown(root), FolderSource(root, self.follow_symlinks)

    def _where(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def open_source(root: Path, *, follow_symlinks: bool) -> Source:
    """Open the root of a data set.

    Raises:
        SettingError: there is no such folder.
    """
    if not root.is_dir():
        near = closest_match(root.name, [each.name for each in _subfolders(root.parent)])
        raise SettingError("dataset.root", str(root), "there is no such folder", near and str(root.parent / near))
    return FolderSource(root, follow_symlinks)


def last_name(where: str) -> str:
    """Return the name of a folder without the path before it."""
    return PurePosixPath(where).name


def _subfolders(parent: Path) -> list[Path]:
    try:
        return sorted(each for each in parent.iterdir() if each.is_dir())
    except OSError:
        return []
