"""Find the image file for each file name in a table."""

import itertools
import os
import unicodedata
from collections.abc import Iterable, Sequence

from semisup.dataset._split_words import split_of_name
from semisup.errors import DataError, closest_match
from semisup.images.scan import ImageFile
from semisup.text import escape_name

MOST_TRIED = 100
"""Number of first rows of which one must name an image, so that the folder of a table's images is known."""


class ImageNames:
    """Lookup of image files by the names in a table.

    A name in the table may have backslashes or another Unicode form than the name of the file. Its suffix may be
    missing if only one file has this name.

    Args:
        files: the image files.
        root: path of the root of the data set, for messages.
    """

    def __init__(self, files: Sequence[ImageFile], root: str) -> None:
        self.by_name = {file.name: file for file in files}
        self.root = root
        self._by_form: dict[str, ImageFile] | None = None
        self._by_stem: dict[str, ImageFile | None] | None = None

    def find(self, folder: str, name: str) -> ImageFile | None:
        """Find the image that a table names, with a name relative to `folder`; None if there is none."""
        prefix = "" if folder == "." else f"{folder}/"
        if (file := self.by_name.get(prefix + name)) is not None:
            return file
        path = os.path.normpath(name.replace("\\", "/").removeprefix(f"{self.root}/"))
        for each in (escape_name(name), escape_name(path)):
            if (file := self.by_name.get(prefix + each)) is not None:
                return file
        if not path.isascii() and (file := self._forms().get(unicodedata.normalize("NFC", prefix + path))) is not None:
            return file
        return None if os.path.splitext(path)[1] else self._stems().get(prefix + path)

    def nearest(self, name: str) -> str:
        """Return the name of the image file whose name is most similar to a name in a table."""
        base = os.path.basename(name.replace("\\", "/"))
        some = [each for each in self.by_name if os.path.basename(each).casefold() == base.casefold()]
        return some[0] if some else closest_match(name, list(self.by_name)[:10_000]) or next(iter(self.by_name))

    def matching_folders(self, names: Iterable[str], folders: Sequence[str]) -> tuple[str, list[str]]:
        """Find the first of the names for which there is an image in at least one of the folders.

        Returns:
            the name, and the folders that contain an image of this name; "" and [] if there is no image of any name.
        """
        for name in names:
            if matches := [folder for folder in folders if self.find(folder, name) is not None]:
                return name, matches
        return "", []

    def folder_of(self, table: str, shown_path: str, names: Iterable[str], folders: Sequence[str]) -> str:
        """Find the folder to which the names in a table are relative.

        Args:
            table: file name of the table. If several candidates contain its images, the one that is named after the
                same split is returned: for `val.csv`, the folder `val`.
            shown_path: path of the table, for messages.
            names: names in the table.
            folders: the candidates.

        Raises:
            DataError: no candidate contains an image of the table, or several do and not exactly one of them is named
                after the split of the table.
        """
        tried = [*itertools.islice(filter(None, names), MOST_TRIED)]
        name, matches = self.matching_folders(tried, folders)
        if len(matches) > 1 and "." not in matches:
            split = split_of_name(table)
            own = [folder for folder in matches if split_of_name(os.path.basename(folder)) == split]
            if len(own) != 1:
                raise DataError(f"{shown_path}: {several_folders(name, matches)}")
            matches = own
        if matches:
            return "." if "." in matches else matches[0]
        first = next(iter(tried), "")
        if not self.by_name:
            raise DataError(f"{shown_path}: there is no image in {self.root}; type dataset.image_folder=FOLDER")
        raise DataError(
            f"{shown_path}: none of its images is in {self.root}: for example, there is no {escape_name(first)}; "
            f"a similar name there is {self.nearest(first)}; if the names are relative to another folder, "
            "type dataset.image_folder=FOLDER"
        )

    def _forms(self) -> dict[str, ImageFile]:
        if self._by_form is None:
            self._by_form = {unicodedata.normalize("NFC", name): file for name, file in self.by_name.items()}
        return self._by_form

    def _stems(self) -> dict[str, ImageFile | None]:
        if self._by_stem is None:
            self._by_stem = {}
            for name, file in self.by_name.items():
                stem = os.path.splitext(name)[0]
                self._by_stem[stem] = None if stem in self._by_stem else file
        return self._by_stem


def several_folders(name: str, folders: Sequence[str]) -> str:
    """Write an error message: a table names an image, and several folders contain an image with this name."""
    places = " and ".join(f"{folder}/" for folder in folders[:3])
    return f"{escape_name(name)} is in {places}; choose one with dataset.image_folder"
