"""Types for the image files of a data set: the files of each split, and the lists that are decoded and cached."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from semisup.images.scan import ImageFile


class FileSplit(NamedTuple):
    """Files of one split, and the index of the class of each file; -1 = unlabeled, or the class is unknown."""

    files: list[ImageFile]
    targets: list[int]

    def rows(self, rows: Sequence[int]) -> "FileSplit":
        """Return the files at the positions `rows`, with their class numbers."""
        return FileSplit([self.files[row] for row in rows], [self.targets[row] for row in rows])

    def hidden(self) -> "FileSplit":
        """Return the same files with all class numbers replaced by -1, for unlabeled images."""
        return FileSplit(self.files, [-1] * len(self.files))


class FileIndex(NamedTuple):
    """Files of a data set, before any of them is decoded.

    parts: split -> files
    hidden: true class numbers of the unlabeled files; -1 = unknown
    file_lists: name -> list of files that is decoded and cached as a whole; together, the lists contain all files
    ignored: suffix or other reason -> number of entries that are not read
    """

    parts: Mapping[str, FileSplit]
    hidden: list[int]
    file_lists: Mapping[str, list[ImageFile]]
    ignored: Mapping[str, int]


def file_numbers(index: FileIndex) -> dict[str, Any]:
    """Compute the index of every file in the concatenation of all lists of files (`file_lists`).

    Returns:
        split -> (n,) int64, the indices of the n files of the split.
    """
    begins, number = {}, 0
    for name, files in index.file_lists.items():
        begins[name], number = number, number + len(files)
    heads = {split: _head(part.files, index.file_lists.get(split, [])) for split, part in index.parts.items()}
    by_name = {
        file.name: begins[name] + position
        for name, files in index.file_lists.items()
        if heads.get(name, 0) < len(files)
        for position, file in enumerate(files)
    }
    numbers = {}
    for split, part in index.parts.items():
        head = heads[split]
        others = [by_name[file.name] for file in part.files[head:]]
        first = numpy.arange(head) + begins.get(split, 0)
        numbers[split] = numpy.concatenate([first, numpy.array(others, numpy.int64)])
    return numbers


def splits_are_lists(index: FileIndex, numbers: Mapping[str, Any]) -> bool:
    """Whether each list of files is one split, with the files in the same order.

    Args:
        numbers: split -> indices of its files in the concatenation of all lists, from `file_numbers`.
    """
    files = sum(map(len, index.file_lists.values()))
    whole = all(
        len(own) in (0, len(index.file_lists.get(split, ()))) and (numpy.diff(own) == 1).all()
        for split, own in numbers.items()
    )
    return whole and sum(map(len, numbers.values())) == files


def _head(files: Sequence[ImageFile], listed: Sequence[ImageFile]) -> int:
    """Return the length of `listed` if it is the beginning of the list `files`; otherwise 0."""
    return len(listed) if len(files) >= len(listed) and all(map(operator.is_, files, listed)) else 0
