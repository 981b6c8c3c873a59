"""Read a data set from tar and zip archives as if they were unpacked in one folder."""

import io
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from semisup.dataset._table import TABLE_SUFFIXES
from semisup.errors import DataError
from semisup.images.archive import list_archives
from semisup.images.archive_listing import ArchiveListing, images_inside, take_folder
from semisup.images.decode import BadImageError
from semisup.images.read_file import read_file
from semisup.images.scan import ImageFile, Scan, by_class_name, shown, to_scan

MOST_ROOTS = 8
"""Largest number of folders in an archive that are proposed as roots."""

MAX_ATTACHED_BYTES = 2**26
"""Largest uncompressed size of a table inside an archive, which is held in memory."""


class ArchiveSource:
    """Files of a data set in tar or zip archives; implements `Source`.

    Args:
        root: path of an archive or of a folder of archives, or a pattern such as `train-*.tar`; for messages.
        listing: the files in the archives.
    """

    is_table = False

    def __init__(self, root: Path, listing: ArchiveListing) -> None:
        self.root, self.listing = root, listing
        self.children: dict[str, list[str]] = {}
        for folder in sorted(listing.folders):
            self.children.setdefault(folder.rpartition("/")[0], []).append(folder)

    @classmethod
    def open(
        cls, root: Path, archives: Sequence[Path], inside: str = "", *, cache: Path | None = None
    ) -> "ArchiveSource":
        """Open archives as a source of a data set.

        Args:
            root: path of an archive or of a folder of archives, or a pattern such as `train-*.tar`; for messages.
            archives: paths of the archives.
            inside: folder in the archives that is the root of the data set; "" = the archives themselves.
            cache: folder in which the listings of archives are stored; None = no cache.

        Raises:
            DataError: an archive cannot be read, or has no folder `inside`.
        """
        listing = list_archives(archives, cache=cache)
        if inside and inside not in listing.folders:
            tops = ", ".join(sorted(folder for folder in listing.folders if "/" not in folder)[:8]) or "none"
            raise DataError(f"{shown(root)}: the archive has no such folder; its folders are: {tops}")
        return cls(root, take_folder(listing, inside) if inside else listing)

    def is_dir(self, where: str) -> bool:
        return not (inside := _inside(where)) or inside in self.listing.folders

    def subfolders(self, where: str) -> list[str]:
        return list(self.children.get(_inside(where), []))

    def folders(self, where: str) -> dict[str, str]:
        paths = self.subfolders(where)
        named = ((unicodedata.normalize("NFC", path.rpartition("/")[2]), path) for path in paths)
        return by_class_name(named, self.shown(where))

    def scan(self, where: str, *, recursive: bool = True) -> Scan:
        if not self.is_dir(where):
            raise DataError(f"{self.shown(where)}: there is no such folder in the archive")
        inside = _inside(where)
        prefix = f"{inside}/" if inside else ""
        images = self.listing.images
        start, end = 0, len(images)
        if prefix:
            start, end = images_inside(images, inside)
        files = images[start:end]
        if not recursive:
            files = [image for image in files if "/" not in image.name[len(prefix) :]]
        counts: Counter[str] = Counter()
        for (folder, reason), count in self.listing.ignored.items():
            if folder == inside or (recursive and folder.startswith(prefix)):
                counts[reason] += count
        return to_scan(files, counts)

    def shown(self, where: str) -> str:
        return shown(self.root / where)

    def other_roots(self) -> Iterator[tuple[str, "ArchiveSource"]]:
        for folder in self.subfolders(".")[:MOST_ROOTS]:
            yield shown(self.root / folder), ArchiveSource(self.root / folder, take_folder(self.listing, folder))

    def only_folder(self) -> "ArchiveSource | None":
        """If a single folder contains all files, return a source with this folder as root; otherwise None."""
        folders = self.subfolders(".")
        outside = any("/" not in image.name for image in self.listing.images)
        if len(folders) != 1 or outside or any("/" not in name for name in self.listing.attached):
            return None
        return ArchiveSource(self.root / folders[0], take_folder(self.listing, folders[0]))

    def tables(self) -> list[str]:
        attached = self.listing.attached
        return sorted(name for name in attached if "/" not in name and Path(name).suffix.lower() in TABLE_SUFFIXES)

    def open_file(self, where: str) -> BinaryIO:
        member = self.listing.attached[_inside(where)]
        try:
            return io.BytesIO(read_file(member, MAX_ATTACHED_BYTES))
        except BadImageError as error:
            reason = f"cannot be read from the archive ({error.reason})"
            if member.bytes_ > MAX_ATTACHED_BYTES:
                reason = f"has more than {MAX_ATTACHED_BYTES >> 20} MB, the limit in an archive; unpack the archive"
            raise DataError(f"{self.shown(where)}: {reason}") from None

    def file_status(self, where: str) -> None:
        return None

    def attached(self) -> Mapping[str, ImageFile]:
        return self.listing.attached


def _inside(where: str) -> str:
    return "" if where == "." else where.strip("/").removeprefix("./")
