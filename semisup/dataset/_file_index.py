"""Image files of a data set by split, and where the decoded file lists hold each of them."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy

from semisup.images.scan import ImageFile


class FileSplit(NamedTuple):
    """Files of one split and their class numbers, -1 where the class is unknown or must not be used."""

    files: list[ImageFile]
    targets: list[int]

    def rows(self, rows: Sequence[int]) -> "FileSplit":
        """Select files by their positions."""
        return FileSplit([self.files[row] for row in rows], [self.targets[row] for row in rows])

    def hidden(self) -> "FileSplit":
        """The same files with unknown classes."""
        return FileSplit(self.files, [-1] * len(self.files))


class FileIndex(NamedTuple):
    """Files of a data set, before any is decoded.

    parts: files of each split
    hidden: true classes of the unlabeled files, -1 where unknown
    file_lists: name -> files, all of them, in lists that do not depend on the split: each is decoded and cached as one
    ignored: reason -> number of directory entries that are not read, and suffix -> number of files of other kinds
    """

    parts: Mapping[str, FileSplit]
    hidden: list[int]
    file_lists: Mapping[str, list[ImageFile]]
    ignored: Mapping[str, int]


def file_numbers(index: FileIndex) -> dict[str, Any]:
    """Number the files of all lists consecutively and return (n,) int64, the numbers of each split's files.

    A list that a split begins with, as large ones do, is matched by position; other files are looked up by name.
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
    """Whether every split is a whole list or empty; otherwise pixels are copied and need twice the memory."""
    files = sum(map(len, index.file_lists.values()))
    whole = all(len(own) in (0, len(index.file_lists.get(split, ()))) for split, own in numbers.items())
    return whole and sum(map(len, numbers.values())) == files


def _head(files: Sequence[ImageFile], listed: Sequence[ImageFile]) -> int:
    """Number of leading files that are exactly the list: all of the list, or none."""
    return len(listed) if len(files) >= len(listed) and all(map(operator.is_, files, listed)) else 0
